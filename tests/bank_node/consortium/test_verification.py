"""Each fault of an agreement is found, named, and ends with exit code 3."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from bank_node.consortium import (
    AgreementError,
    Signature,
    SignedAgreement,
    verify_agreement,
)
from bank_node.consortium.agreement import parse_agreement
from bank_node.consortium.bounds import known_parameters
from bank_node.consortium.errors import (
    AnalysisNotAllowed,
    MemberCertificateError,
    MembersError,
    SignatureError,
    TermsError,
    VersionError,
)
from bank_node.identity import Authority, fingerprint
from graph_mpc.session import ThrowawayAuthority
from tests.bank_node.consortium.consortium import NOW, Consortium, seat

Raw = dict[str, Any]


def spoiled(consortium: Consortium, spoil: Callable[[Raw], object]) -> SignedAgreement:
    """An agreement with a fault, signed by all its members as if nothing were wrong."""
    raw = copy.deepcopy(consortium.raw())
    spoil(raw)
    return consortium.sign(parse_agreement(raw).agreement)


def test_a_complete_agreement_is_accepted(consortium: Consortium) -> None:
    """Three members, sane terms, all signatures: no fault."""
    verify_agreement(consortium.signed())


def test_more_members_and_a_compute_party_are_accepted(
    consortium: Consortium, tmp_path: Path
) -> None:
    """A neutral compute party is a member like others, without a BIC."""
    compute = seat(tmp_path, consortium.authority, "N", 9600, "compute")
    more = replace(consortium, seats=consortium.seats | {"N": compute})
    verify_agreement(more.signed())
    assert more.unsigned().banks == ("A", "B", "C")


def _member(index: int, **changes: Any) -> Callable[[Raw], None]:
    return lambda raw: raw["members"][index].update(changes)


def _same(field: str) -> Callable[[Raw], None]:
    def spoil(raw: Raw) -> None:
        raw["members"][1][field] = raw["members"][0][field]

    return spoil


def _swap_certificates(raw: Raw) -> None:
    one, two = raw["members"][:2]
    for field in ("certificate", "certificate_pem"):
        one[field], two[field] = two[field], one[field]


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (lambda raw: raw["members"].pop(), MembersError, "2 members are too few"),
        (lambda raw: raw["members"].clear(), MembersError, "0 members are too few"),
        (_same("id"), MembersError, "same id: A, A"),
        (_same("key"), MembersError, "same key: A, B"),
        (_same("certificate"), MembersError, "same certificate: A, B"),
        (_same("ports"), MembersError, "A and B have ports in common at 127.0.0.1"),
        (_member(1, ports=[9401, 2]), MembersError, "A and B have ports in common"),
        (_member(1, ports=[9390, 11]), MembersError, "A and B have ports in common"),
        (_member(1, id="schedule"), MembersError, "cannot be called schedule"),
        (_member(1, key="00" * 32), MembersError, "key of B is one under which anybody"),
        (_member(1, certificate="ab" * 32), MemberCertificateError, "of B has another finger"),
        (_swap_certificates, MemberCertificateError, "certificate of A names another party"),
        (
            lambda raw: raw.update(expires="2029-06-01"),
            MemberCertificateError,
            "certificate of A ends at 2029-02-01T12:00:00Z, before the agreement",
        ),
        (
            lambda raw: raw.update(consortium="baltic"),
            MemberCertificateError,
            "of A names another party or consortium",
        ),
    ],
)
def test_faults_of_members_are_found(
    consortium: Consortium, spoil: Callable[[Raw], None], error: type[AgreementError], said: str
) -> None:
    """Too few, doubled, or with a certificate that is not their own: refused, though all signed."""
    with pytest.raises(error, match=said) as caught:
        verify_agreement(spoiled(consortium, spoil))
    assert caught.value.exit_code == 3
    assert caught.value.remedy


def test_neighbouring_ports_and_other_hosts_are_accepted(consortium: Consortium) -> None:
    """Members may share a host if their ports are apart, or ports if their hosts differ."""
    verify_agreement(spoiled(consortium, _member(1, ports=[9404, 2])))
    verify_agreement(spoiled(consortium, _member(1, ports=[9400, 4], host="b.example")))


def _with_certificate(consortium: Consortium, certificate: str) -> SignedAgreement:
    changes = {"certificate_pem": certificate, "certificate": fingerprint(certificate)}
    return spoiled(consortium, _member(1, **changes))


def test_a_certificate_of_another_authority_is_found(
    consortium: Consortium, other: Consortium, tmp_path: Path
) -> None:
    """A certificate for the right name from an authority of the same name is not the right one."""
    foreign = other.seats["B"].entry["certificate_pem"]
    throwaway = ThrowawayAuthority("nordic").issue("B", tmp_path).certificate.read_text()
    for certificate in (foreign, throwaway):
        with pytest.raises(MemberCertificateError, match="of B was not issued by the consortium"):
            verify_agreement(_with_certificate(consortium, certificate))


def test_a_certificate_as_authority_is_found(consortium: Consortium) -> None:
    """A member's certificate cannot stand in the place of the authority's."""
    pem = consortium.seats["A"].entry["certificate_pem"]
    with pytest.raises(MemberCertificateError, match="not self-signed"):
        verify_agreement(spoiled(consortium, lambda raw: raw.update(authority=pem)))


def test_the_authority_alone_cannot_replace_a_certificate(
    consortium: Consortium, tmp_path: Path
) -> None:
    """A second certificate that the authority issues for B makes all signatures invalid."""
    second = seat(tmp_path, consortium.authority, "B", 9410).entry
    signed = consortium.signed()
    raw = copy.deepcopy(consortium.raw())
    for field in ("certificate", "certificate_pem"):
        raw["members"][1][field] = second[field]
    forged = replace(parse_agreement(raw), signatures=signed.signatures)
    with pytest.raises(SignatureError):
        verify_agreement(forged)


def _analysis(index: int, **changes: Any) -> Callable[[Raw], None]:
    return lambda raw: raw["analyses"][index].update(changes)


def _rule(name: str, **rule: Any) -> Callable[[Raw], None]:
    return lambda raw: raw["analyses"][0]["parameters"].update({name: rule})


def _schedule(index: int, **changes: Any) -> Callable[[Raw], None]:
    return lambda raw: raw["schedules"][index].update(changes)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda raw: raw.update(expires="2026-11-01"), "before it comes into effect"),
        (lambda raw: raw.update(engine="2"), "for engine 2, this program has engine 1"),
        (lambda raw: raw.update(analyses=[], schedules=[]), "allows no analysis"),
        (lambda raw: raw["analyses"].append(raw["analyses"][0]), "two analyses are called risk-"),
        (lambda raw: raw["schedules"].append(raw["schedules"][0]), "two schedules are called"),
        (lambda raw: raw["budgets"]["banks"].update(Z=1), "a budget names Z"),
        (_analysis(0, name="divination"), "there is no analysis 'divination'"),
        (_analysis(0, version="9"), "agreed in version 9, this program has 1"),
        (_analysis(2, who=["A", "Z"]), "who of trace names Z"),
        (_analysis(0, policies=["everything"]), "policy 'everything' is not known"),
        (_analysis(0, policies=["bands:0.5,0.2"]), "do not ascend"),
        (_analysis(0, max_window=""), "risk-propagation needs max_window"),
        (_analysis(1, max_window="31d"), "pagerank looks at no window"),
        (_analysis(0, prepare=3), "columns of risk-propagation cannot be prepared"),
        (_analysis(2, parameters={"hops": {"value": 3}}), "trace needs parameter traces"),
        (_rule("damping", value=1), "risk-propagation has no parameter damping"),
        (_rule("account", value="a1"), "parameter account is private"),
        (_rule("sources", min=1, max=2), "parameter sources is private"),
        (_schedule(0, analysis="round-trip"), "no agreed analysis"),
        (_schedule(0, cron="0 2 * *"), "cron '0 2 \\* \\*' says no time"),
        (_schedule(0, cron="r r * * *"), "says no time"),
        (_schedule(0, cron="h 2 * * *"), "says no time"),
        (_schedule(0, cron="0 2 * * * 30"), "says no time"),
        (_schedule(0, cron="61 2 * * *"), "says no time"),
        (_schedule(0, cron="@daily"), "says no time"),
        (_schedule(0, cron="0 2 30 2 *"), "says no time|has no time"),
        (_schedule(0, valid="40d"), "valid is longer than 31 days"),
        (_schedule(0, policy="exact"), "its policy is not one of risk-propagation"),
        (_schedule(1, prepare=21), "prepares for more runs than trace may"),
        (_schedule(0, window=""), "has no window"),
        (_schedule(0, window="32d"), "longer than 31d"),
        (_schedule(0, parameters={"delta": 0.5}), "delta of risk-propagation is not what was"),
        (_schedule(0, parameters={"precision": "high"}), "no rule for parameter precision"),
        (_schedule(0, parameters={"since": "2026-01-01"}), "follow from its window"),
        (_schedule(0, parameters={"account": "a1"}), "parameter account is private"),
        (_schedule(1, parameters={"traces": "C=1"}), "C may not ask in trace"),
        (_schedule(1, parameters={"traces": "Z=1"}), "no bank of the agreement"),
        (_schedule(1, parameters={"traces": "A=3"}), "not padded"),
        (_schedule(1, parameters={}), "cannot be used"),
        (
            lambda raw: raw.update(effective="2026-11-02", expires="2026-11-02T01:00:00Z"),
            "nightly-risk has no time while the agreement is in effect",
        ),
    ],
)
def test_faults_of_the_terms_are_found(
    consortium: Consortium, spoil: Callable[[Raw], None], said: str
) -> None:
    """Dates, analyses, rules, budgets and schedules that make no sense are refused, and named."""
    with pytest.raises(TermsError, match=said) as caught:
        verify_agreement(spoiled(consortium, spoil))
    assert caught.value.exit_code == 3


def test_no_value_of_a_parameter_is_repeated(consortium: Consortium) -> None:
    """An account in the place of a public parameter does not come back in the error."""
    spoil = _schedule(0, parameters={"slice": "DE89370400440532013000"})
    with pytest.raises(TermsError) as caught:
        verify_agreement(spoiled(consortium, spoil))
    assert "DE8937" not in str(caught.value)


class _Model(BaseModel):
    depth: int
    width: int = 1


class _Declared:
    name = "declared"
    version = "1"

    def parse(self, raw: Raw) -> _Model:
        return _Model.model_validate(raw)


class _Undeclared:
    name = "undeclared"
    version = "1"

    def parse(self, raw: Raw) -> Any:
        return raw


def test_the_parameters_of_an_analysis_are_those_of_its_model() -> None:
    """An analysis of another package is held to what its own parse declares, or refused."""
    assert known_parameters(_Declared()) == {"depth", "width"}  # type: ignore[arg-type]
    with pytest.raises(AnalysisNotAllowed, match="does not say which parameters"):
        known_parameters(_Undeclared())  # type: ignore[arg-type]


def test_an_analysis_that_does_not_declare_its_parameters_is_refused(
    consortium: Consortium,
) -> None:
    """No rule can be checked for it, so the agreement is refused."""

    def finder(_name: str) -> Any:
        return _Undeclared()

    with pytest.raises(TermsError, match="does not say which parameters"):
        verify_agreement(consortium.signed(), finder=finder)


def without(signed: SignedAgreement, member: str) -> tuple[Signature, ...]:
    """All signatures but one."""
    return tuple(s for s in signed.signatures if s.member != member)


@pytest.mark.parametrize("member", ["A", "B", "C"])
def test_one_missing_signature_is_found(consortium: Consortium, member: str) -> None:
    """Without the signature of any one member the agreement is not valid."""
    signed = consortium.signed()
    with pytest.raises(SignatureError, match=f"{member} has not signed"):
        verify_agreement(replace(signed, signatures=without(signed, member)))
    with pytest.raises(SignatureError, match="A, B, C have not signed"):
        verify_agreement(replace(signed, signatures=()))


def test_forged_signatures_are_found(consortium: Consortium, other: Consortium) -> None:
    """By another key, of another text, of another kind, moved to another member: all refused."""
    signed = consortium.signed()
    key = consortium.seats["B"].key
    bodies = signed.agreement.canonical()
    forgeries = [
        other.seats["B"].key.sign(signed.signed_bytes),
        key.sign(bodies),
        key.sign(b"undercurrent/v1/manifest\n" + bodies),
        key.sign(consortium.signed(scope="All accounts.").signed_bytes),
        consortium.seats["A"].key.sign(signed.signed_bytes),
        bytes(64),
    ]
    for forged in forgeries:
        signatures = (*without(signed, "B"), Signature(member="B", signature=forged.hex()))
        with pytest.raises(SignatureError, match="signature of B is not of this text"):
            verify_agreement(replace(signed, signatures=signatures))


def test_a_strangers_or_a_second_signature_is_found(consortium: Consortium) -> None:
    """Who is no member cannot sign, and nobody signs twice."""
    signed = consortium.signed()
    stranger = Signature(member="Z", signature=signed.signatures[0].signature)
    for extra, said in (
        (stranger, "Z has signed but is no member"),
        (signed.signatures[1], "B has signed twice"),
    ):
        with pytest.raises(SignatureError, match=said):
            verify_agreement(replace(signed, signatures=(*signed.signatures, extra)))


def follow(consortium: Consortium, before: SignedAgreement, /, **changes: Any) -> SignedAgreement:
    """The version after one, signed by all its members."""
    values: Raw = {
        "version": before.agreement.version + 1,
        "previous": before.hash,
        "effective": "2026-12-01",
    }
    return consortium.signed(**(values | changes))


def test_the_next_version_follows_the_one_before(consortium: Consortium) -> None:
    """With its number, hash and a later date it is accepted, with or without the one before."""
    first = consortium.signed()
    second = follow(consortium, first)
    verify_agreement(second, previous=first)
    verify_agreement(second)
    verify_agreement(follow(consortium, second, effective="2026-12-02"), previous=second)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": 3}, "version 3 does not follow version 1"),
        ({"previous": "ab" * 32}, "does not follow version 1 as it was signed"),
        ({"previous": ""}, "version 2 does not name one before it"),
        ({"version": 1}, "version 1 names one before it"),
        ({"effective": "2026-11-01"}, "no later than version 1"),
        ({"budgets": {"period": "week", "bits": 1}}, "budgets of another period"),
    ],
)
def test_a_version_that_does_not_follow_is_found(
    consortium: Consortium, changes: Raw, said: str
) -> None:
    """Wrong number, wrong hash, no later date, or budgets that cannot be carried: refused."""
    first = consortium.signed()
    with pytest.raises(VersionError, match=said):
        verify_agreement(follow(consortium, first, **changes), previous=first)


def test_budgets_of_another_period_may_begin_anew(consortium: Consortium) -> None:
    """A change of the period is accepted where the budgets are reset."""
    first = consortium.signed()
    changes = {"budgets": {"period": "week", "bits": 1}, "transition": {"budgets": "reset"}}
    verify_agreement(follow(consortium, first, **changes), previous=first)


def test_a_version_of_another_consortium_is_found(consortium: Consortium, tmp_path: Path) -> None:
    """The consortium keeps its name."""
    authority = Authority.create(tmp_path / "authority", "baltic", lambda: NOW)
    seats = {n: seat(tmp_path, authority, n, 9400 + 10 * i) for i, n in enumerate("ABC")}
    baltic = Consortium(authority, seats, consortium.terms)
    first = consortium.signed()
    changes = {"consortium": "baltic", "authority": authority.certificate_pem}
    with pytest.raises(VersionError, match="of baltic, the one before is of nordic"):
        verify_agreement(follow(baltic, first, **changes), previous=first)


def test_a_removed_member_need_not_sign(other: Consortium) -> None:
    """Members of the new version sign it; who is removed is not asked, and its signature is out."""
    first = other.signed()
    rest = [s.entry for n, s in other.seats.items() if n != "C"]
    second = follow(other, first, members=rest)
    assert [s.member for s in second.signatures] == ["A", "B", "D"]
    verify_agreement(second, previous=first)
    late = Signature(member="C", signature=other.seats["C"].key.sign(second.signed_bytes).hex())
    with pytest.raises(SignatureError, match="C has signed but is no member"):
        verify_agreement(replace(second, signatures=(*second.signatures, late)), previous=first)
