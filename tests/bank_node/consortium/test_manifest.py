"""Manifests: the same bytes at every node, signed, and refused where the agreement says no."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bank_node.consortium import (
    ManifestRefused,
    RunManifest,
    SignedAgreement,
    check_manifest,
    due_slots,
    parse_manifest,
    proposed_manifest,
    scheduled_manifest,
    sign_manifest,
    verify_manifest_signature,
)
from bank_node.consortium import errors as e
from bank_node.consortium.agreement import parse_agreement
from bank_node.consortium.canonical import moment_text, moment_us
from bank_node.consortium.drafting import render
from bank_node.consortium.reading import parse_text
from graph_mpc.session.config import check_name
from pagerank import RiskPropagation
from tests.bank_node.consortium.consortium import DAY, HOUR, NOW, SECOND, Consortium

RELAXED = settings(deadline=None, max_examples=60)
RISK = {"delta": "0.3", "iterations": "2", "since": "2026-10-25", "until": "2026-11-24"}
BANDS = "bands:0.2,0.5,0.8"
SHARE = "threshold:0.01:0.01"
TRACE = {"traces": "A=1", "hops": "2", "since": "2026-11-10", "until": "2026-11-24"}
SLOT = "2026-11-24T02:00:00Z"
AT_SLOT = moment_us(SLOT)


@pytest.fixture(scope="module")
def signed(consortium: Consortium) -> SignedAgreement:
    """The agreement, signed by all."""
    return consortium.signed()


def risk(signed: SignedAgreement, **changes: Any) -> RunManifest:
    """A run that is allowed, with some fields changed."""
    manifest = proposed_manifest(signed, "A", "risk-propagation", RISK, BANDS, NOW)
    return RunManifest.model_validate(manifest.model_dump() | changes)


def trace(signed: SignedAgreement, parameters: dict[str, str], **options: Any) -> RunManifest:
    """A trace of bank A."""
    return proposed_manifest(signed, "A", "trace", parameters, SHARE, NOW, **options)


def test_what_the_agreement_allows_is_accepted(signed: SignedAgreement) -> None:
    """A proposal within the bounds, a trace with or without prepared columns, a preparation."""
    check_manifest(risk(signed), signed, NOW)
    check_manifest(trace(signed, TRACE), signed, NOW)
    check_manifest(trace(signed, TRACE, columns="0" * 32), signed, NOW)
    check_manifest(trace(signed, TRACE, prepare_runs=20), signed, NOW)
    pagerank = proposed_manifest(signed, "C", "pagerank", {"alpha": "0.9"}, BANDS, NOW)
    check_manifest(pagerank, signed, NOW + SECOND)


def test_a_rehearsal_may_be_proposed_by_anybody(signed: SignedAgreement) -> None:
    """It discloses nothing; but it stays within the bounds."""
    rehearsal = proposed_manifest(signed, "C", "trace", TRACE, SHARE, NOW, rehearsal=True)
    check_manifest(rehearsal, signed, NOW)
    wide = TRACE | {"hops": "9"}
    with pytest.raises(e.OutOfBounds):
        check_manifest(
            proposed_manifest(signed, "C", "trace", wide, SHARE, NOW, rehearsal=True), signed, NOW
        )


def _with(**changes: str) -> dict[str, Any]:
    return {"parameters": RISK | changes}


REFUSED: list[tuple[dict[str, Any], type[ManifestRefused], str]] = [
    ({"agreement": "ab" * 32}, e.OtherAgreement, "another agreement than the one in effect"),
    ({"consortium": "baltic"}, e.OtherAgreement, "another agreement"),
    ({"created": NOW + 121 * SECOND, "expires": NOW + HOUR}, e.ManifestClock, "clock of A"),
    ({"created": NOW - HOUR, "expires": NOW - SECOND}, e.ManifestExpired, "1 seconds ago"),
    ({"expires": NOW + 32 * DAY}, e.ManifestExpired, "longer than 31 days"),
    ({"created": NOW + SECOND, "expires": NOW}, e.ManifestExpired, "or none"),
    ({"analysis": "round-trip"}, e.AnalysisNotAllowed, "does not allow this analysis"),
    ({"version": "2"}, e.AnalysisNotAllowed, "agreed in version 1"),
    ({"proposer": "Z"}, e.ProposerNotAllowed, "no member"),
    ({"schedule": "nightly-risk"}, e.NotTheSchedule, "a member proposes it"),
    ({"slot": SLOT}, e.NotTheSchedule, "a member proposes it"),
    ({"policy": "exact"}, e.PolicyNotAllowed, "policy is not agreed"),
    ({"policy": "bands:0.2,0.5,0.80"}, e.PolicyNotAllowed, "policy is not agreed"),
    ({"prepare_runs": 1}, e.PreparationNotAllowed, "may be prepared for 0 runs"),
    ({"columns": "0" * 32}, e.PreparationNotAllowed, "use no prepared columns"),
    (_with(delta="0.31"), e.OutOfBounds, "delta of risk-propagation is not what was agreed"),
    (_with(delta="0.0499999"), e.OutOfBounds, "0.05 to 0.3"),
    (_with(delta="nan"), e.OutOfBounds, "delta"),
    (_with(delta="0x1"), e.OutOfBounds, "delta"),
    (_with(delta=""), e.OutOfBounds, "delta"),
    (_with(iterations="11"), e.OutOfBounds, "iterations"),
    (_with(iterations="1.5"), e.ParameterNotAllowed, "cannot be used"),
    (_with(slice="1h"), e.OutOfBounds, "Agreed is all or 1d or 7d"),
    (_with(precision="high"), e.ParameterNotAllowed, "no rule for parameter precision"),
    (_with(unknown="1"), e.ParameterNotAllowed, "no rule for parameter unknown"),
    (_with(since="2026-10-23"), e.WindowTooLong, "longer than 31d"),
    (_with(since="2026-11-24"), e.WindowTooLong, "or empty"),
    (_with(since="soon"), e.WindowTooLong, "needs since and until"),
    ({"parameters": {"delta": "0.3"}}, e.WindowTooLong, "needs since and until"),
    (_with(account="a1"), e.PrivateParameter, "account is private"),
    (_with(accounts="a1"), e.PrivateParameter, "accounts is private"),
    (_with(sources="a1"), e.PrivateParameter, "sources is private"),
    (_with(bank="A"), e.PrivateParameter, "bank is private"),
]


@pytest.mark.parametrize(("changes", "error", "said"), REFUSED)
def test_what_the_agreement_does_not_allow_is_refused(
    signed: SignedAgreement, changes: dict[str, Any], error: type[ManifestRefused], said: str
) -> None:
    """Each refusal has its code, exit code 3, and says what to do."""
    with pytest.raises(ManifestRefused, match=said) as caught:
        check_manifest(risk(signed, **changes), signed, NOW)
    assert type(caught.value) is error
    assert caught.value.exit_code == 3
    assert caught.value.code.startswith("consortium.")


TRACES: list[tuple[dict[str, str], dict[str, Any], type[ManifestRefused], str]] = [
    (TRACE | {"account": "a1"}, {}, e.PrivateParameter, "account is private"),
    (TRACE | {"trace": "x"}, {}, e.PrivateParameter, "trace is private"),
    (TRACE | {"traces": "C=1"}, {}, e.ParameterNotAllowed, "C may not ask in trace"),
    (TRACE | {"traces": "A=1,Z=1"}, {}, e.ParameterNotAllowed, "no bank of the agreement"),
    (TRACE | {"traces": "A=8"}, {}, e.OutOfBounds, "1 to 4"),
    (TRACE | {"traces": "A=1,B=8"}, {}, e.OutOfBounds, "1 to 4"),
    (TRACE | {"traces": "A=0"}, {}, e.OutOfBounds, "traces"),
    (TRACE | {"traces": "A"}, {}, e.OutOfBounds, "traces"),
    (TRACE | {"traces": "A=3"}, {}, e.ParameterNotAllowed, "not padded"),
    (TRACE, {"prepare_runs": 21}, e.PreparationNotAllowed, "for 20 runs at once, not for 21"),
    (TRACE, {"prepare_runs": 1, "columns": "0" * 32}, e.PreparationNotAllowed, "at once"),
    (TRACE, {"rehearsal": True, "prepare_runs": 1}, e.PreparationNotAllowed, "a rehearsal"),
]


@pytest.mark.parametrize(("parameters", "options", "error", "said"), TRACES)
def test_a_trace_outside_the_agreement_is_refused(
    signed: SignedAgreement,
    parameters: dict[str, str],
    options: dict[str, Any],
    error: type[ManifestRefused],
    said: str,
) -> None:
    """Who asks, how often, and with which columns are all bounded."""
    with pytest.raises(error, match=said):
        check_manifest(trace(signed, parameters, **options), signed, NOW)


def test_only_those_named_may_propose(signed: SignedAgreement) -> None:
    """C is a member but not in who of trace."""
    manifest = proposed_manifest(signed, "C", "trace", TRACE, SHARE, NOW)
    with pytest.raises(e.ProposerNotAllowed, match="C may not propose trace"):
        check_manifest(manifest, signed, NOW)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (moment_us("2026-10-31T23:59:59Z"), "comes into effect at 2026-11-01"),
        (moment_us("2027-11-01"), "has ended at 2027-11-01"),
    ],
)
def test_an_agreement_counts_in_its_term_only(signed: SignedAgreement, now: int, said: str) -> None:
    """Before its date of effect and from its end on every run is refused."""
    manifest = risk(signed, created=now, expires=now + HOUR)
    with pytest.raises(e.NotInEffect, match=said):
        check_manifest(manifest, signed, now)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda m: m[::-1],
        lambda m: m[:-1],
        lambda m: [*m, {"id": "Z", "role": "bank"}],
        lambda m: [*m[:2], m[2] | {"role": "compute"}],
    ],
)
def test_other_members_are_refused(
    signed: SignedAgreement, spoil: Callable[[list[dict[str, str]]], list[dict[str, str]]]
) -> None:
    """The members are those of the agreement with their roles, all, and in its order."""
    members = [{"id": m.id, "role": m.role} for m in signed.agreement.members]
    with pytest.raises(e.OtherMembers):
        check_manifest(risk(signed, members=spoil(members)), signed, NOW)


def test_a_clock_two_minutes_off_is_borne(signed: SignedAgreement) -> None:
    """A run from 120 seconds in the future is accepted, one from 121 is not."""
    check_manifest(risk(signed, created=NOW + 120 * SECOND), signed, NOW)
    with pytest.raises(e.ManifestClock, match="121 seconds in the future: the clock of A"):
        check_manifest(risk(signed, created=NOW + 121 * SECOND), signed, NOW)


def test_a_default_outside_the_bounds_is_refused(consortium: Consortium) -> None:
    """Leaving a parameter out does not get around its rule: what counts is what the run uses."""
    raw = consortium.raw()
    rules = [dict(rule) for rule in raw["analyses"]]
    rules[1]["parameters"] = {"alpha": {"min": 0.5, "max": 0.8}}
    narrow = consortium.sign(parse_agreement(raw | {"analyses": rules}).agreement)
    with pytest.raises(e.OutOfBounds, match="alpha of pagerank is by default not what was agreed"):
        check_manifest(proposed_manifest(narrow, "A", "pagerank", {}, BANDS, NOW), narrow, NOW)
    allowed = proposed_manifest(narrow, "A", "pagerank", {"alpha": "8e-1"}, BANDS, NOW)
    check_manifest(allowed, narrow, NOW)


def test_the_longest_window_is_allowed(signed: SignedAgreement) -> None:
    """Exactly 31 days are accepted, a microsecond more is not."""
    check_manifest(risk(signed, **_with(since="2026-10-24")), signed, NOW)
    with pytest.raises(e.WindowTooLong):
        check_manifest(risk(signed, **_with(since="2026-10-23T23:59:59.999999Z")), signed, NOW)


class _Secretive(RiskPropagation):
    """An analysis of another package with a private parameter of its own, ``iterations``."""

    def private_inputs(self, raw: Mapping[str, Any]) -> tuple[Any, Any]:
        return {k: v for k, v in raw.items() if k != "iterations"}, {"A": {"iterations": 1}}


def test_what_an_analysis_calls_private_is_refused(signed: SignedAgreement) -> None:
    """Private is also what the analysis itself would take out, whatever its name and its rule."""
    with pytest.raises(e.PrivateParameter, match="hold private inputs"):
        check_manifest(risk(signed), signed, NOW, finder=lambda _name: _Secretive())


@RELAXED
@given(st.sampled_from(sorted(RISK)), st.from_regex(r"DE[0-9]{20}", fullmatch=True))
def test_no_refusal_repeats_a_value(consortium: Consortium, name: str, account: str) -> None:
    """An account in the place of a public parameter is refused and not told to anybody."""
    signed = consortium.signed()
    with pytest.raises(ManifestRefused) as caught:
        check_manifest(risk(signed, parameters=RISK | {name: account}), signed, NOW)
    assert account not in str(caught.value)


def test_an_analysis_that_is_not_agreed_cannot_be_proposed(signed: SignedAgreement) -> None:
    """Nor can a run with a parameter that has no form, or columns of no run."""
    with pytest.raises(e.AnalysisNotAllowed, match="It allows risk-propagation, pagerank, trace"):
        proposed_manifest(signed, "A", "round-trip", {}, BANDS, NOW)
    for parameters, columns in (({"delta": "0\n3"}, ""), ({"De lta": "1"}, ""), ({}, "../x")):
        with pytest.raises(e.MalformedManifest):
            proposed_manifest(signed, "A", "pagerank", parameters, BANDS, NOW, columns=columns)


# Scheduled runs.


def test_a_scheduled_manifest_is_the_same_at_all_nodes(
    consortium: Consortium, signed: SignedAgreement
) -> None:
    """Nodes with their own copies of the file, in other words and orders, make the same bytes."""
    text = render(signed)
    copies = [
        signed,
        parse_text(text, "x"),
        parse_text(text.replace("# ", "#  ").replace("max = 0.3 ", "max = 3e-1 "), "x"),
        consortium.sign(parse_agreement(dict(reversed(consortium.raw().items()))).agreement),
    ]
    spellings = [SLOT, "2026-11-24T02:00:00+00:00", "2026-11-24 03:00:00+01:00", SLOT]
    made = [
        scheduled_manifest(copy, "nightly-risk", slot)
        for copy, slot in zip(copies, spellings, strict=True)
    ]
    assert len({manifest.canonical() for manifest in made}) == 1
    manifest = made[0]
    check_manifest(manifest, signed, AT_SLOT)
    check_manifest(parse_manifest(manifest.canonical()), signed, AT_SLOT + 6 * HOUR)
    assert dict(manifest.parameters) == {
        "delta": "0.3",
        "iterations": "2",
        "since": "2026-10-25T00:00:00Z",
        "until": "2026-11-24T00:00:00Z",
    }
    assert (manifest.proposer, manifest.slot) == ("schedule", SLOT)
    assert (manifest.created, manifest.expires) == (AT_SLOT, AT_SLOT + 6 * HOUR)


def test_every_slot_and_schedule_has_its_own_run(
    consortium: Consortium, signed: SignedAgreement
) -> None:
    """Ids and nonces of other slots, schedules and agreements differ; ids fit a session's name."""
    due = due_slots(signed, moment_us("2026-11-02"), moment_us("2026-11-02T04:00:00Z"))
    assert due == [
        ("nightly-risk", "2026-11-02T02:00:00Z"),
        ("weekly-columns", "2026-11-02T03:30:00Z"),
    ]
    made = [scheduled_manifest(signed, *pair) for pair in [*due, ("nightly-risk", SLOT)]]
    made.append(scheduled_manifest(consortium.signed(scope="Others"), "nightly-risk", SLOT))
    assert len({m.run_id for m in made} | {m.nonce for m in made}) == 8
    for manifest in made:
        check_name("run id", f"{manifest.run_id}-1000")
    assert made[1].prepare_runs == 10


@pytest.mark.parametrize(
    "changes",
    [
        {"parameters": RISK},
        {"nonce": "0" * 32},
        {"run_id": "1" * 32},
        {"expires": AT_SLOT + 7 * HOUR},
        {"policy": "threshold:0.8:0.05"},
        {"prepare_runs": 1},
        {"rehearsal": True},
    ],
)
def test_a_scheduled_run_that_differs_from_its_schedule_is_refused(
    signed: SignedAgreement, changes: dict[str, Any]
) -> None:
    """Any byte that is not what the schedule says, and nobody's signature helps."""
    due = scheduled_manifest(signed, "nightly-risk", SLOT).model_dump()
    with pytest.raises(e.NotTheSchedule, match="not what that schedule says"):
        check_manifest(RunManifest.model_validate(due | changes), signed, AT_SLOT + HOUR)


@pytest.mark.parametrize(
    ("schedule", "slot"),
    [
        ("unknown", SLOT),
        ("nightly-risk", "2026-11-24T02:00:01Z"),
        ("nightly-risk", "2026-11-24T03:00:00Z"),
        ("nightly-risk", "2026-10-31T02:00:00Z"),
        ("nightly-risk", "2027-11-01T02:00:00Z"),
        ("nightly-risk", "never"),
        ("nightly-risk", ""),
    ],
)
def test_a_slot_that_the_schedule_does_not_have_is_refused(
    signed: SignedAgreement, schedule: str, slot: str
) -> None:
    """No such schedule, not its minute, or out of the agreement's term."""
    with pytest.raises(e.NotTheSchedule):
        scheduled_manifest(signed, schedule, slot)
    claimed = scheduled_manifest(signed, "nightly-risk", SLOT).model_dump()
    manifest = RunManifest.model_validate(claimed | {"schedule": schedule, "slot": slot})
    with pytest.raises(e.NotTheSchedule):
        check_manifest(manifest, signed, AT_SLOT + HOUR)


def test_slots_are_due_once_each_and_while_valid(signed: SignedAgreement) -> None:
    """After the slot until its time is over; the end of one look is the beginning of the next."""
    assert due_slots(signed, AT_SLOT - SECOND, AT_SLOT) == [("nightly-risk", SLOT)]
    assert due_slots(signed, AT_SLOT, AT_SLOT + HOUR) == []
    assert due_slots(signed, AT_SLOT - SECOND, AT_SLOT - 1) == []
    assert due_slots(signed, AT_SLOT - DAY, AT_SLOT + 6 * HOUR) == [("nightly-risk", SLOT)]
    assert due_slots(signed, AT_SLOT - DAY, AT_SLOT + 6 * HOUR + 1) == []


def test_slots_are_due_in_the_agreements_term_only(signed: SignedAgreement) -> None:
    """None before the date of effect, none from the end on."""
    begin, end = moment_us("2026-11-01"), moment_us("2027-11-01")
    assert due_slots(signed, begin - DAY, begin + HOUR) == []
    assert due_slots(signed, end, end + 3 * HOUR) == []
    last = due_slots(signed, end - 2 * DAY, end - DAY + 3 * HOUR)
    assert [name for name, _slot in last] == ["nightly-risk"]


def test_the_date_of_effect_has_its_slot_and_the_end_has_none(consortium: Consortium) -> None:
    """A slot at midnight belongs to the agreement that comes into effect then, not to both."""
    midnight = dict(consortium.raw()["schedules"][0]) | {"cron": "0 0 * * *"}
    signed = consortium.signed(schedules=[midnight])
    begin, end = moment_us("2026-11-01"), moment_us("2027-11-01")
    assert due_slots(signed, begin - DAY, begin) == [("nightly-risk", "2026-11-01T00:00:00Z")]
    assert due_slots(signed, end - HOUR, end) == []


@RELAXED
@given(st.lists(st.integers(0, 20 * DAY), min_size=2, max_size=30).map(sorted))
def test_looking_often_finds_the_same_slots_as_looking_once_in_time(
    consortium: Consortium, looks: list[int]
) -> None:
    """However often a node looks, no slot is found twice, and none is missed while it is valid."""
    signed = consortium.signed()
    begin = moment_us("2026-11-02")
    found = []
    for after, now in pairwise(looks):
        due = due_slots(signed, begin + after, begin + now)
        assert [slot for _name, slot in due] == sorted(slot for _name, slot in due)
        found += due
    assert len(set(found)) == len(found)
    slots = [begin + day * DAY + 2 * HOUR for day in range(20)]
    for slot in slots:
        seen = [n for n in looks[1:] if slot <= begin + n]
        is_due = begin + looks[0] < slot and bool(seen) and begin + seen[0] <= slot + 6 * HOUR
        assert (("nightly-risk", moment_text(slot)) in found) == is_due


# Form and signatures.


def test_a_manifest_is_read_back_as_itself(signed: SignedAgreement) -> None:
    """What a peer sends is the same manifest, whatever the order of its keys."""
    manifest = risk(signed)
    fields = json.loads(manifest.canonical())
    again = parse_manifest(json.dumps(dict(reversed(fields.items())), indent=1))
    assert again == manifest
    assert again.canonical() == manifest.canonical()
    assert len(manifest.digest) == 64


@pytest.mark.parametrize(
    "spoil",
    [
        lambda f: f | {"extra": 1},
        lambda f: f | {"format": 2},
        lambda f: f | {"run_id": "short"},
        lambda f: f | {"run_id": "0" * 57},
        lambda f: f | {"run_id": "../../../../etc/passwd"},
        lambda f: f | {"created": "1"},
        lambda f: f | {"created": 1.5},
        lambda f: f | {"created": -1},
        lambda f: f | {"expires": 1 << 70},
        lambda f: f | {"rehearsal": "true"},
        lambda f: f | {"prepare_runs": True},
        lambda f: f | {"parameters": {"a": 1}},
        lambda f: f | {"parameters": {"a": "x\ny"}},
        lambda f: f | {"parameters": {"A": "x"}},
        lambda f: f | {"parameters": {f"p{i}": "x" for i in range(65)}},
        lambda f: f | {"nonce": "xyz"},
        lambda f: f | {"members": {"A": "bank"}},
        lambda f: f | {"members": [{"id": "A", "role": "spy"}]},
        lambda f: f | {"policy": "x" * 401},
        lambda f: {k: v for k, v in f.items() if k != "nonce"},
        lambda f: [f],
        lambda f: f | {"parameters": {"a": "x" * 2001}},
        lambda f: f | {"slot": "x" * 60_000},
    ],
)
def test_what_is_no_manifest_is_refused(
    signed: SignedAgreement, spoil: Callable[[dict[str, Any]], Any]
) -> None:
    """Wrong types, sizes, names and missing or extra fields are refused, and none is repeated."""
    text = json.dumps(spoil(json.loads(risk(signed).canonical())))
    with pytest.raises(e.MalformedManifest) as caught:
        parse_manifest(text)
    assert "extra" not in str(caught.value)
    assert "passwd" not in str(caught.value)


@RELAXED
@given(st.binary(max_size=300))
def test_no_bytes_make_the_reader_fail_otherwise(data: bytes) -> None:
    """Whatever arrives is refused as malformed, and nothing else is raised."""
    with pytest.raises(e.MalformedManifest):
        parse_manifest(data)


def test_deep_nesting_is_refused() -> None:
    """A bomb of brackets is refused, not followed."""
    with pytest.raises(e.MalformedManifest):
        parse_manifest("[" * 40_000)


def test_a_signature_is_of_one_manifest_and_one_key(
    consortium: Consortium, signed: SignedAgreement
) -> None:
    """Of the same bytes, by that member's key, and not of the bare bytes or another kind."""
    manifest = risk(signed)
    keys = {name: seat.key for name, seat in consortium.seats.items()}
    signature = sign_manifest(keys["B"], manifest)
    assert verify_manifest_signature(keys["B"].public, manifest, signature)
    assert not verify_manifest_signature(keys["A"].public, manifest, signature)
    changed = risk(signed, nonce=manifest.nonce, run_id="1" * 32)
    assert not verify_manifest_signature(keys["B"].public, changed, signature)
    for message in (
        manifest.canonical(),
        b"undercurrent/v1/agreement\n" + manifest.canonical(),
    ):
        bare = keys["B"].sign(message).hex()
        assert not verify_manifest_signature(keys["B"].public, manifest, bare)
    for bad in ("", "zz", signature[:-2], signature + "00"):
        assert not verify_manifest_signature(keys["B"].public, manifest, bad)
    assert not verify_manifest_signature("", manifest, signature)
