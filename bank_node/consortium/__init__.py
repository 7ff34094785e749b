"""What the members agreed on, and whether a run is allowed by it.

``agreement`` is the form of it, ``verification`` says whether it may be used, ``book`` keeps the
installed versions, ``manifest`` is a run, ``judging`` holds it against the agreement.
"""

from bank_node.consortium.agreement import (
    ENGINE,
    SCHEDULE,
    Agreement,
    AnalysisRule,
    Budgets,
    Member,
    ParameterRule,
    Schedule,
    Signature,
    SignedAgreement,
    Transition,
)
from bank_node.consortium.book import Book
from bank_node.consortium.change import Change, change
from bank_node.consortium.errors import AgreementError, ConsortiumError, ManifestRefused
from bank_node.consortium.judging import CLOCK_TOLERANCE, check_manifest
from bank_node.consortium.manifest import (
    RunManifest,
    RunMember,
    is_scheduled_id,
    parse_manifest,
    proposed_manifest,
    scheduled_manifest,
    sign_manifest,
    verify_manifest_signature,
)
from bank_node.consortium.reading import load_agreement
from bank_node.consortium.timetable import budget_of, due_slots, period_of
from bank_node.consortium.verification import verify_agreement

__all__ = [
    "CLOCK_TOLERANCE",
    "ENGINE",
    "SCHEDULE",
    "Agreement",
    "AgreementError",
    "AnalysisRule",
    "Book",
    "Budgets",
    "Change",
    "ConsortiumError",
    "ManifestRefused",
    "Member",
    "ParameterRule",
    "RunManifest",
    "RunMember",
    "Schedule",
    "Signature",
    "SignedAgreement",
    "Transition",
    "budget_of",
    "change",
    "check_manifest",
    "due_slots",
    "is_scheduled_id",
    "load_agreement",
    "parse_manifest",
    "period_of",
    "proposed_manifest",
    "scheduled_manifest",
    "sign_manifest",
    "verify_agreement",
    "verify_manifest_signature",
]
