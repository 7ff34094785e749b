"""What a node believes of what members state about runs: nothing that is not as it should be.

A manifest is kept only if its times can be meant and its id is its to have; a statement counts only
if it is about the same bytes, names an agreed port, and is signed with the member's key where it
binds that member.
"""

from collections.abc import Callable

import structlog

from bank_node.consortium import (
    CLOCK_TOLERANCE,
    SCHEDULE,
    Member,
    RunManifest,
    SignedAgreement,
    is_scheduled_id,
    scheduled_manifest,
    verify_manifest_signature,
)
from bank_node.errors import UndercurrentError
from bank_node.node.open_run import OpenRun
from bank_node.node.statement import Statement

__all__ = ["Hearing"]

_LOG = structlog.get_logger(__name__)
_LONGEST = 31 * 86_400_000_000
_BINDING_NOBODY = ("judging", "refused", "abandoned")


class Hearing:
    """Checks what comes from other members.

    Args:
        agreement: returns the agreement that counts for a manifest, or None.
        named: returns the installed agreement that a manifest names, or None.
        clock: microseconds since 1970.
    """

    def __init__(
        self,
        agreement: Callable[[RunManifest], SignedAgreement | None],
        named: Callable[[RunManifest], SignedAgreement | None],
        clock: Callable[[], int],
    ) -> None:
        self._agreement = agreement
        self._named = named
        self._clock = clock

    def may_be_new(self, manifest: RunManifest) -> bool:
        """Return whether a run that nobody knew may be taken up."""
        return self._is_timely(manifest) and self._may_have_id(manifest)

    def checked(
        self, run: OpenRun, sender: str, manifest: RunManifest, statement: Statement
    ) -> Statement | None:
        """Return what a member's statement counts as; None: as nothing."""
        if manifest.digest != run.manifest.digest:
            _LOG.warning("other_manifest", member=sender, run_id=run.run_id)
            reason = f"{sender} has another manifest under the same id"
            return Statement("refused", code="node.other-bytes", reason=reason)
        signed = self._agreement(manifest)
        member = None if signed is None else signed.agreement.member(sender)
        if statement.port and (member is None or not _is_of(member, statement.port)):
            _LOG.warning("port_refused", member=sender, run_id=run.run_id)
            return None
        if not statement.signature:
            return statement if statement.phase in _BINDING_NOBODY else None
        before = run.peers[sender]
        if before is not None and before.signature == statement.signature:
            return statement  # Verified when it first came; its key may have been replaced since.
        key = "" if member is None else member.key
        if not verify_manifest_signature(key, run.manifest, statement.signature):
            _LOG.warning("signature_refused", member=sender, run_id=run.run_id)
            return None
        return statement

    def _is_timely(self, manifest: RunManifest) -> bool:
        """Return whether a new manifest's times can be meant: others are not even kept."""
        now, length = self._clock(), manifest.expires - manifest.created
        is_sane = manifest.created <= now + CLOCK_TOLERANCE and 0 < length <= _LONGEST
        if not is_sane:
            _LOG.warning("manifest_untimely", member=manifest.proposer)
        return is_sane and now <= manifest.expires

    def _may_have_id(self, manifest: RunManifest) -> bool:
        """Return whether the id is the manifest's to have: those of slots belong to the schedule.

        They can be computed beforehand; nobody shall take the place of a scheduled run.
        """
        if not is_scheduled_id(manifest.run_id):
            return manifest.proposer != SCHEDULE
        signed = self._named(manifest)
        try:
            return signed is not None and manifest == scheduled_manifest(
                signed, manifest.schedule, manifest.slot
            )
        except UndercurrentError:
            return False


def _is_of(member: Member, port: int) -> bool:
    """Return whether a port is one of a member's workers, as agreed."""
    first, count = member.ports
    return first <= port < first + count
