"""Whether the agreement allows a run: all nodes ask this of each manifest and get one answer.

The order is fixed: the agreement itself, time, members, analysis, who asks, policy, parameters,
window, preparation; a scheduled manifest must be, byte for byte, what the schedule says.
"""

from bank_node.analyses import find_analysis
from bank_node.consortium.agreement import SCHEDULE, Agreement, AnalysisRule, SignedAgreement
from bank_node.consortium.bounds import Finder, check_parameters
from bank_node.consortium.errors import (
    AnalysisNotAllowed,
    ManifestClock,
    ManifestExpired,
    NotInEffect,
    NotTheSchedule,
    OtherAgreement,
    OtherMembers,
    PolicyNotAllowed,
    PreparationNotAllowed,
    ProposerNotAllowed,
)
from bank_node.consortium.manifest import RunManifest, scheduled_manifest

__all__ = ["CLOCK_TOLERANCE", "check_manifest"]

CLOCK_TOLERANCE = 120_000_000
"""Microseconds by which the clocks of two members may differ."""

LONGEST_VALID = 31 * 86_400_000_000
_SYNCHRONISE = "Let both members synchronise their clocks (NTP)"


def check_manifest(
    manifest: RunManifest, signed: SignedAgreement, now: int, *, finder: Finder = find_analysis
) -> None:
    """Refuse a manifest that the agreement does not allow.

    Args:
        manifest: the run.
        signed: the agreement that this node holds to be in effect.
        now: microseconds.
        finder: gives an analysis by its name.

    Raises:
        ManifestRefused: the first reason.
    """
    agreement = signed.agreement
    _check_agreement(manifest, signed, now)
    _check_time(manifest, now)
    if [(m.id, m.role) for m in manifest.members] != [(m.id, m.role) for m in agreement.members]:
        raise OtherMembers(
            "the members of the run are not those of the agreement, with their roles and in its"
            " order",
            "All members need the same version of the agreement",
        )
    rule = _check_analysis(manifest, agreement)
    _check_proposer(manifest, signed, rule)
    if manifest.policy not in rule.policies:
        raise PolicyNotAllowed(
            f"the policy is not agreed for {rule.name}", f"Agreed is {', '.join(rule.policies)}"
        )
    check_parameters(manifest.parameters, rule, agreement, finder(rule.name))
    _check_preparation(manifest, rule)


def _check_agreement(manifest: RunManifest, signed: SignedAgreement, now: int) -> None:
    agreement = signed.agreement
    if manifest.consortium != agreement.consortium or manifest.agreement != signed.hash:
        raise OtherAgreement(
            "the run is proposed under another agreement than the one in effect here"
            f" ({agreement.consortium} version {agreement.version})",
            "All members have to install the same version: undercurrent consortium install",
        )
    if now < agreement.effective_us:
        raise NotInEffect(
            f"the agreement comes into effect at {agreement.effective}", "Propose the run then"
        )
    if now >= agreement.expires_us:
        raise NotInEffect(
            f"the agreement has ended at {agreement.expires}",
            "Agree on a next version: undercurrent consortium new --from",
        )


def _check_time(manifest: RunManifest, now: int) -> None:
    ahead = manifest.created - now
    if ahead > CLOCK_TOLERANCE:
        raise ManifestClock(
            f"the run was proposed {ahead // 1_000_000} seconds in the future: the clock of"
            f" {manifest.proposer} or of this node is wrong",
            _SYNCHRONISE,
        )
    if now > manifest.expires:
        raise ManifestExpired(
            f"the run had to begin {(now - manifest.expires) // 1_000_000} seconds ago",
            "Propose it again",
        )
    if not 0 < manifest.expires - manifest.created <= LONGEST_VALID:
        raise ManifestExpired(
            "the time in which the run may begin is longer than 31 days, or none",
            "Propose it with a shorter time",
        )


def _check_analysis(manifest: RunManifest, agreement: Agreement) -> AnalysisRule:
    rule = agreement.analysis(manifest.analysis)
    if rule is None:
        raise AnalysisNotAllowed(
            "the agreement does not allow this analysis",
            f"It allows {', '.join(r.name for r in agreement.analyses)}",
        )
    if manifest.version != rule.version:
        raise AnalysisNotAllowed(
            f"{rule.name} is agreed in version {rule.version}, and the run asks for another",
            "All members need the same version of the program",
        )
    return rule


def _check_proposer(manifest: RunManifest, signed: SignedAgreement, rule: AnalysisRule) -> None:
    if manifest.proposer == SCHEDULE:
        due = scheduled_manifest(signed, manifest.schedule, manifest.slot)
        if manifest.canonical() != due.canonical():
            raise NotTheSchedule(
                f"the run calls itself {due.schedule} but is not what that schedule says",
                "Propose other runs under a member's name",
            )
        return
    if manifest.schedule or manifest.slot:
        raise NotTheSchedule(
            "the run names a schedule but a member proposes it", "Let the schedule begin it"
        )
    proposer = signed.agreement.member(manifest.proposer)
    if proposer is None:
        raise ProposerNotAllowed(
            "whoever proposes the run is no member", "Only members propose runs"
        )
    # A rehearsal discloses nothing, so any member may try the consortium.
    if manifest.rehearsal:
        return
    allowed = signed.agreement.banks if rule.who == "all" else rule.who
    if proposer.id not in allowed:
        raise ProposerNotAllowed(
            f"{proposer.id} may not propose {rule.name}",
            f"The agreement lets {', '.join(allowed) or 'only its schedules'} do it",
        )


def _check_preparation(manifest: RunManifest, rule: AnalysisRule) -> None:
    if manifest.prepare_runs and manifest.columns:
        raise PreparationNotAllowed(
            "the run would prepare columns and use some at once", "Propose two runs"
        )
    if manifest.prepare_runs > rule.prepare:
        raise PreparationNotAllowed(
            f"columns of {rule.name} may be prepared for {rule.prepare} runs at once, not for"
            f" {manifest.prepare_runs}",
            "Propose fewer",
        )
    if manifest.columns and not rule.prepare:
        raise PreparationNotAllowed(
            f"the agreement lets {rule.name} use no prepared columns", "Propose it without"
        )
    if manifest.rehearsal and (manifest.prepare_runs or manifest.columns):
        raise PreparationNotAllowed(
            "a rehearsal neither prepares columns nor uses them", "Rehearse the analysis itself"
        )
