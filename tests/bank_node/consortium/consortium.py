"""A consortium of three banks or more with real keys and certificates, for tests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bank_node.consortium import Agreement, Signature, SignedAgreement
from bank_node.consortium.agreement import parse_agreement
from bank_node.identity import (
    Authority,
    SigningKey,
    certificate_request,
    create_signing_key,
    create_tls_key,
    fingerprint,
)

NOW = 1_795_521_600_000_000
"""2026-11-24T12:00:00Z."""
SECOND = 1_000_000
HOUR = 3_600_000_000
DAY = 24 * HOUR


def clock() -> int:
    """The authority's clock."""
    return NOW


@dataclass(frozen=True)
class Seat:
    """A member's keys and its entry in the agreement."""

    keys: Path
    key: SigningKey
    entry: dict[str, Any]


@dataclass(frozen=True)
class Consortium:
    """Members that can sign, and an agreement as plain data."""

    authority: Authority
    seats: dict[str, Seat]
    terms: dict[str, Any]

    def raw(self, **changes: Any) -> dict[str, Any]:
        """The agreement as plain data, with other values for some keys."""
        members = [seat.entry for seat in self.seats.values()]
        return self.terms | {"members": members} | changes

    def unsigned(self, **changes: Any) -> Agreement:
        """The agreement."""
        return parse_agreement(self.raw(**changes)).agreement

    def signed(self, **changes: Any) -> SignedAgreement:
        """The agreement, signed by all its members."""
        return self.sign(self.unsigned(**changes))

    def sign(self, agreement: Agreement) -> SignedAgreement:
        """Let all members that have a seat sign."""
        blank = SignedAgreement(agreement)
        signatures = tuple(
            Signature(member=m.id, signature=self.seats[m.id].key.sign(blank.signed_bytes).hex())
            for m in agreement.members
            if m.id in self.seats
        )
        return replace(blank, signatures=signatures)


def seat(folder: Path, authority: Authority, name: str, port: int, role: str = "bank") -> Seat:
    """Make a member's keys and its entry."""
    keys = folder / name
    key = SigningKey.load(create_signing_key(keys))
    request = certificate_request(create_tls_key(keys), authority.consortium, name)
    certificate = authority.issue_member(request, name, 800)
    entry = {
        "id": name,
        "bic": f"BANK{name}{name}22XXX" if role == "bank" else "",
        "role": role,
        "key": key.public,
        "certificate": fingerprint(certificate),
        "certificate_pem": certificate,
        "host": "127.0.0.1",
        "ports": [port, 4],
    }
    return Seat(keys, key, entry)


def found(folder: Path, names: str = "ABC", consortium: str = "nordic") -> Consortium:
    """Make a consortium of banks with one-letter names."""
    authority = Authority.create(folder / "authority", consortium, clock)
    seats = {name: seat(folder, authority, name, 9400 + 10 * i) for i, name in enumerate(names)}
    return Consortium(authority, seats, terms(authority))


def terms(authority: Authority) -> dict[str, Any]:
    """All of an agreement but its members."""
    return {
        "consortium": authority.consortium,
        "version": 1,
        "previous": "",
        "effective": "2026-11-01",
        "expires": "2027-11-01",
        "engine": "1",
        "authority": authority.certificate_pem,
        "scope": "Accounts of customers of higher risk.",
        "analyses": [
            {
                "name": "risk-propagation",
                "version": "1",
                "policies": ["bands:0.2,0.5,0.8", "threshold:0.8:0.05"],
                "parameters": {
                    "iterations": {"min": 1, "max": 10},
                    "delta": {"min": 0.05, "max": 0.3},
                    "slice": {"one_of": ["all", "1d", "7d"]},
                },
                "max_window": "31d",
            },
            {
                "name": "pagerank",
                "version": "1",
                "policies": ["bands:0.2,0.5,0.8"],
                "parameters": {
                    "alpha": {"min": 0.5, "max": 0.9},
                    "tolerance": {"min": 1e-8, "max": 1e-4},
                    "iterations": {"min": 5, "max": 200},
                },
            },
            {
                "name": "trace",
                "version": "1",
                "policies": ["threshold:0.01:0.01"],
                "parameters": {
                    "traces": {"min": 1, "max": 4},
                    "hops": {"min": 1, "max": 4},
                    "slice": {"one_of": ["1d", "12h"]},
                },
                "max_window": "31d",
                "who": ["A", "B"],
                "prepare": 20,
            },
        ],
        "budgets": {"period": "month", "bits": 1_000_000, "banks": {"B": 500_000}},
        "schedules": [
            {
                "name": "nightly-risk",
                "analysis": "risk-propagation",
                "cron": "0 2 * * *",
                "policy": "bands:0.2,0.5,0.8",
                "parameters": {"iterations": 2, "delta": 0.3},
                "window": "30d",
                "valid": "6h",
            },
            {
                "name": "weekly-columns",
                "analysis": "trace",
                "cron": "30 3 * * mon",
                "policy": "threshold:0.01:0.01",
                "parameters": {"traces": "A=1", "hops": 3},
                "window": "14d",
                "valid": "12h",
                "prepare": 10,
            },
        ],
    }
