"""What a node says to a manifest: the agreement first, then itself, sizes, budgets, a person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bank_node.consortium import RunManifest, SignedAgreement, proposed_manifest
from bank_node.intake import DataConfig
from bank_node.node.config import MemberSection, NodeConfig, PolicySection
from bank_node.node.judge import Verdict, judge, most_disclosed
from tests.bank_node.consortium.consortium import NOW, Consortium
from tests.bank_node.node.world import BANDS, RISK, SHARE, SIZES, TRACE

LEFT = dict.fromkeys(SIZES, 10**6)


@pytest.fixture
def signed(consortium: Consortium) -> SignedAgreement:
    """The agreement of five banks."""
    return consortium.signed()


def risk(signed: SignedAgreement, **changes: Any) -> RunManifest:
    """A run that is allowed, with some fields changed."""
    manifest = proposed_manifest(signed, "A", "risk-propagation", RISK, BANDS, NOW)
    return RunManifest.model_validate(manifest.model_dump() | changes)


def config(role: str = "bank", **policy: Any) -> NodeConfig:
    """Node B, with a data source if it is a bank."""
    return NodeConfig(
        folder=Path("/nowhere"),
        node=MemberSection(id="B", consortium="nordic", role=role),  # type: ignore[arg-type]
        data=DataConfig(source="csv", folder=Path("here")) if role == "bank" else None,
        policy=PolicySection(**policy),
    )


def judged(
    manifest: RunManifest,
    signed: SignedAgreement,
    *,
    own: NodeConfig | None = None,
    sizes: dict[str, int] = SIZES,
    left: dict[str, int] = LEFT,
) -> Verdict:
    """What B says."""
    return judge(manifest, signed, own or config(), sizes, left, NOW)


def test_what_is_agreed_is_consented_to_with_its_price(signed: SignedAgreement) -> None:
    """Four bands are two bits for each padded account of each bank."""
    verdict = judged(risk(signed), signed)
    assert verdict.answer == "consent"
    assert verdict.bits == {bank: 2 * size for bank, size in SIZES.items()}


def test_a_trace_costs_the_bank_that_asks_and_nobody_else(signed: SignedAgreement) -> None:
    """The others learn nothing from it."""
    manifest = proposed_manifest(signed, "A", "trace", TRACE, SHARE, NOW)
    bits = most_disclosed(manifest, signed.agreement, SIZES)
    assert bits["A"] > SIZES["A"]
    assert {bits[bank] for bank in "BCDE"} == {0}


def test_rehearsals_and_preparations_cost_nothing(signed: SignedAgreement) -> None:
    """Also where no size is known yet."""
    rehearsal = risk(signed, rehearsal=True)
    assert most_disclosed(rehearsal, signed.agreement, {}) == dict.fromkeys(SIZES, 0)
    preparation = proposed_manifest(signed, "A", "trace", TRACE, SHARE, NOW, prepare_runs=2)
    assert judged(preparation, signed, sizes={}, left=dict.fromkeys(SIZES, 0)).answer == "consent"


def test_the_agreement_comes_before_the_own_policy(signed: SignedAgreement) -> None:
    """All nodes give the same reason for what was not agreed, whatever they think of it."""
    refusing = config(refuse=("risk-propagation",))
    verdict = judged(risk(signed, policy="exact"), signed, own=refusing)
    assert (verdict.answer, verdict.code) == ("refuse", "consortium.policy")
    verdict = judged(risk(signed), signed, own=refusing)
    assert (verdict.answer, verdict.code) == ("refuse", "node.policy")


def test_another_engine_is_refused(consortium: Consortium) -> None:
    """The message names both."""
    signed = consortium.signed(engine="2")
    verdict = judged(risk(signed), signed)
    assert (verdict.answer, verdict.code) == ("refuse", "node.version")
    assert "engine 2, this node has engine 1" in verdict.reason


def test_a_bank_without_data_takes_part_in_rehearsals_only(signed: SignedAgreement) -> None:
    """It has nothing to compute on yet."""
    bare = NodeConfig(folder=Path("/n"), node=MemberSection(id="B", consortium="nordic"))
    assert judged(risk(signed), signed, own=bare).code == "node.no-data"
    assert judged(risk(signed, rehearsal=True), signed, own=bare).answer == "consent"
    assert judged(risk(signed), signed, own=config("compute")).answer == "consent"


def test_an_unknown_size_is_waited_for(signed: SignedAgreement) -> None:
    """The bank that has not told it is named."""
    verdict = judged(risk(signed), signed, sizes={"A": 8, "B": 8, "C": 8, "E": 8})
    assert (verdict.answer, verdict.code) == ("later", "node.size-unknown")
    assert verdict.reason == "D has not told its size yet"


@pytest.mark.parametrize(("bits", "answer"), [(286, "consent"), (285, "refuse")])
def test_any_banks_budget_binds_all(signed: SignedAgreement, bits: int, answer: str) -> None:
    """To the bit; B refuses what D could not pay for."""
    verdict = judged(risk(signed), signed, left=LEFT | {"D": bits})
    assert verdict.answer == answer
    assert answer == "consent" or verdict.code == "store.budget"


@pytest.mark.parametrize(("bits", "answer"), [(316, "consent"), (315, "refuse"), (0, "consent")])
def test_the_own_bound_counts_what_any_bank_learns(
    signed: SignedAgreement, bits: int, answer: str
) -> None:
    """0 is no bound."""
    assert judged(risk(signed), signed, own=config(max_bits_per_run=bits)).answer == answer


def test_a_person_is_asked_about_what_is_not_on_the_list(signed: SignedAgreement) -> None:
    """And only if nothing else speaks against it."""
    for approve, answer in (
        (("*",), "consent"),
        (("risk-propagation",), "consent"),
        (("trace",), "ask"),
        ((), "ask"),
    ):
        assert judged(risk(signed), signed, own=config(approve=approve)).answer == answer
    empty = dict.fromkeys(SIZES, 0)
    assert judged(risk(signed), signed, own=config(approve=()), left=empty).answer == "refuse"
