"""Whether this node takes part in a proposed run: the agreement, its own policy, the budgets.

All nodes judge the same public manifest by the same agreement, so what the agreement does not allow
is refused by every node, not only by the one that asks.  The order is fixed: agreement, versions,
own policy, sizes, budget, then whether a person has to approve.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bank_node.analyses import find_analysis
from bank_node.consortium import ENGINE, Agreement, RunManifest, SignedAgreement, check_manifest
from bank_node.errors import UndercurrentError
from bank_node.node.config import NodeConfig
from graph_mpc.errors import EngineError
from graph_mpc.policy import parse_policy

__all__ = ["Verdict", "judge", "most_disclosed"]


@dataclass(frozen=True)
class Verdict:
    """What this node says to a manifest.

    Attributes:
        answer: consent; refuse; ask (a person has to approve); later (something is not known yet).
        code, reason: for refuse and later.
        bits: what each bank could learn at most, if that is known.
    """

    answer: Literal["consent", "refuse", "ask", "later"]
    code: str = ""
    reason: str = ""
    bits: Mapping[str, int] | None = None


def judge(
    manifest: RunManifest,
    signed: SignedAgreement,
    config: NodeConfig,
    padded: Mapping[str, int],
    left: Mapping[str, int],
    now: int,
) -> Verdict:
    """Judge a manifest.

    Args:
        manifest: what is proposed.
        signed: the agreement in effect.
        config: this node's configuration.
        padded: padded number of accounts of each bank, as far as it has told it.
        left: bits that are left of each bank's budget in the present period.
        now: microseconds.
    """
    try:
        check_manifest(manifest, signed, now)
    except (UndercurrentError, EngineError) as error:
        return Verdict("refuse", error.code, error.message)
    refusal = _refused_here(manifest, signed.agreement, config)
    if refusal is not None:
        return refusal
    try:
        bits = most_disclosed(manifest, signed.agreement, padded)
    except (UndercurrentError, EngineError) as error:
        return Verdict("refuse", error.code, error.message)
    except KeyError as error:
        bank = str(error.args[0])
        return Verdict("later", "node.size-unknown", f"{bank} has not told its size yet")
    over = _over_budget(bits, left, config)
    if over is not None:
        return over
    allowed = config.policy.approve
    is_approved = "*" in allowed or manifest.analysis in allowed
    return Verdict("consent" if is_approved else "ask", bits=bits)


def most_disclosed(
    manifest: RunManifest, agreement: Agreement, padded: Mapping[str, int]
) -> dict[str, int]:
    """Return how many bits each bank could learn from the run: the ledger's upper bound.

    Raises:
        KeyError: the size of a bank is not known; holds its id.
    """
    banks = [member.id for member in agreement.members if member.role == "bank"]
    if manifest.rehearsal or manifest.prepare_runs:
        return dict.fromkeys(banks, 0)
    analysis = find_analysis(manifest.analysis)
    parameters = analysis.parse(manifest.parameters)
    per_value = parse_policy(manifest.policy).bits_per_value
    return {
        bank: analysis.released_values(parameters, bank, padded[bank]) * per_value for bank in banks
    }


def _refused_here(
    manifest: RunManifest, agreement: Agreement, config: NodeConfig
) -> Verdict | None:
    """Return the refusal of what this node cannot or will not do, whatever was agreed."""
    if agreement.engine != ENGINE:
        return Verdict(
            "refuse",
            "node.version",
            f"the agreement is for engine {agreement.engine}, this node has engine {ENGINE}",
        )
    version = find_analysis(manifest.analysis).version
    if version != manifest.version:
        return Verdict(
            "refuse",
            "node.version",
            f"{manifest.analysis} has version {version} at {config.node.id},"
            f" the run asks for {manifest.version}",
        )
    if manifest.analysis in config.policy.refuse:
        return Verdict(
            "refuse", "node.policy", f"{config.node.id} does not take part in {manifest.analysis}"
        )
    if config.node.role == "bank" and config.data is None and not manifest.rehearsal:
        return Verdict("refuse", "node.no-data", f"{config.node.id} has no data source")
    return None


def _over_budget(
    bits: Mapping[str, int], left: Mapping[str, int], config: NodeConfig
) -> Verdict | None:
    for bank, asked in sorted(bits.items()):
        if asked > left[bank]:
            return Verdict(
                "refuse",
                "store.budget",
                f"{bank} could learn {asked:,} bits, and {left[bank]:,} are left of its budget",
                bits,
            )
        bound = config.policy.max_bits_per_run
        if bound and asked > bound:
            return Verdict(
                "refuse",
                "node.policy",
                f"{bank} could learn {asked:,} bits; {config.node.id} allows {bound:,} per run",
                bits,
            )
    return None
