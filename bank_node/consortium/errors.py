"""Errors of agreements and of the manifests that are judged by them.

::

    UndercurrentError
    └── ConsortiumError                 wrong input (exit code 2)
        ├── AgreementFileError          no agreement of the right form
        ├── NoSuchMemberError           the agreement has no such member
        ├── JoinRequestError            a request to join that is broken or not the member's own
        ├── AgreementError              an agreement that must not be used (exit code 3)
        │   ├── MembersError            too few, or two with the same id, key or address
        │   ├── MemberCertificateError  a certificate that is not the member's, or ends too early
        │   ├── TermsError              dates, analyses, bounds, budgets or schedules
        │   ├── SignatureError          a signature is missing, forged, or of a stranger
        │   └── VersionError            not the version that follows
        └── ManifestRefused             a run that the agreement does not allow (exit code 3)
            ├── MalformedManifest       not a manifest
            ├── OtherAgreement          made for another agreement
            ├── NotInEffect             the agreement is not in effect
            ├── ManifestExpired         its time is over, or too long
            ├── ManifestClock           made in the future: a clock is wrong
            ├── OtherMembers            not the members, or not in their order
            ├── AnalysisNotAllowed      not an agreed analysis, or another version
            ├── PolicyNotAllowed        not an agreed output policy
            ├── PrivateParameter        holds what must never leave its bank
            ├── ParameterNotAllowed     a parameter without a rule, or useless
            ├── OutOfBounds             a parameter outside its bounds
            ├── WindowTooLong           more days than agreed, or none named
            ├── ProposerNotAllowed      this member may not ask for it
            ├── PreparationNotAllowed   columns may not be prepared or used so
            └── NotTheSchedule          not what the schedule says

No message repeats the value of a parameter: it could be an account written in the wrong place.
"""

from bank_node.errors import UndercurrentError

__all__ = [
    "AgreementError",
    "AgreementFileError",
    "AnalysisNotAllowed",
    "ConsortiumError",
    "JoinRequestError",
    "MalformedManifest",
    "ManifestClock",
    "ManifestExpired",
    "ManifestRefused",
    "MemberCertificateError",
    "MembersError",
    "NoSuchMemberError",
    "NotInEffect",
    "NotTheSchedule",
    "OtherAgreement",
    "OtherMembers",
    "OutOfBounds",
    "ParameterNotAllowed",
    "PolicyNotAllowed",
    "PreparationNotAllowed",
    "PrivateParameter",
    "ProposerNotAllowed",
    "SignatureError",
    "TermsError",
    "VersionError",
    "WindowTooLong",
]


class ConsortiumError(UndercurrentError):
    """Wrong input to do with the consortium."""

    code = "consortium.error"
    exit_code = 2


class AgreementFileError(ConsortiumError):
    """A file is missing, or no agreement of the right form."""

    code = "consortium.file"


class NoSuchMemberError(ConsortiumError):
    """The agreement has no such member."""

    code = "consortium.no-such-member"


class JoinRequestError(ConsortiumError):
    """A request to join that is broken, or not made by the member it names."""

    code = "consortium.request"


class AgreementError(ConsortiumError):
    """An agreement that must not be used."""

    code = "consortium.agreement"
    exit_code = 3


class MembersError(AgreementError):
    """Too few members, or two that share an id, a key, a certificate or an address."""

    code = "consortium.members"


class MemberCertificateError(AgreementError):
    """A member's certificate is not the one named, not its own, or ends before the agreement."""

    code = "consortium.certificate"


class TermsError(AgreementError):
    """Dates, analyses, bounds, budgets or schedules make no sense."""

    code = "consortium.terms"


class SignatureError(AgreementError):
    """A signature is missing, forged, or of somebody who is no member."""

    code = "consortium.signature"


class VersionError(AgreementError):
    """Not the version that follows the one before."""

    code = "consortium.version"


class ManifestRefused(ConsortiumError):
    """A run that the agreement does not allow."""

    code = "consortium.manifest"
    exit_code = 3


class MalformedManifest(ManifestRefused):
    """Not a manifest at all."""

    code = "consortium.malformed"


class OtherAgreement(ManifestRefused):
    """Made for another agreement, or for another version of it."""

    code = "consortium.other-agreement"


class NotInEffect(ManifestRefused):
    """The agreement is not in effect yet, or no longer."""

    code = "consortium.not-in-effect"


class ManifestExpired(ManifestRefused):
    """The time in which the run may begin is over, or is longer than any may be."""

    code = "consortium.expired"


class ManifestClock(ManifestRefused):
    """Made in the future: a clock is wrong."""

    code = "consortium.clock"


class OtherMembers(ManifestRefused):
    """Not the members of the agreement with their roles, in its order."""

    code = "consortium.other-members"


class AnalysisNotAllowed(ManifestRefused):
    """Not an analysis of the agreement, or another version of it."""

    code = "consortium.analysis"


class PolicyNotAllowed(ManifestRefused):
    """Not an output policy that was agreed for this analysis."""

    code = "consortium.policy"


class PrivateParameter(ManifestRefused):
    """Holds a parameter that must never leave its bank."""

    code = "consortium.private-parameter"


class ParameterNotAllowed(ManifestRefused):
    """A parameter for which the agreement has no rule, or that the analysis does not take."""

    code = "consortium.parameter"


class OutOfBounds(ManifestRefused):
    """A parameter is outside its bounds."""

    code = "consortium.bounds"


class WindowTooLong(ManifestRefused):
    """The window of payments is longer than agreed, or has no bounds."""

    code = "consortium.window"


class ProposerNotAllowed(ManifestRefused):
    """This member may not ask for this analysis."""

    code = "consortium.proposer"


class PreparationNotAllowed(ManifestRefused):
    """Columns may not be prepared or used in this way."""

    code = "consortium.preparation"


class NotTheSchedule(ManifestRefused):
    """Calls itself a scheduled run but is not what the schedule says."""

    code = "consortium.schedule"
