"""Who may take part: certificates, greetings, strangers."""

from __future__ import annotations

import dataclasses
import pickle
import socket
import struct
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from graph_mpc.session import ThrowawayAuthority, party_uri

from .lab import CONSORTIUM, Lab
from .rogue import WritesFile, dialled, greet, hello_of, send_plain, serving, wait_for_end
from .test_failures import B, C, failures

pytestmark = pytest.mark.timeout(60)


def test_strangers_are_refused_and_the_run_goes_on(lab: Lab, tmp_path: Path) -> None:
    """Another authority, two names, a party of no part, plaintext and port scans change nothing."""
    others = ThrowawayAuthority(CONSORTIUM).issue(C, tmp_path / "other")
    two = [party_uri(CONSORTIUM, C), party_uri(CONSORTIUM, B)]
    two_names = lab.authority.issue_with_uris("two-names", two, tmp_path)
    outsider = lab.authority.issue("bank-x", tmp_path)
    lab.start(0, "count_refused")
    lab.start(1, "count_refused")
    for credentials in (others, two_names, outsider):
        try:
            with dialled(lab, 0, credentials) as connection:
                assert wait_for_end(connection) == b""
        except OSError:
            continue
    send_plain(lab, 0, b"GET / HTTP/1.1\r\n\r\n")
    send_plain(lab, 0, b"")
    with socket.create_connection(("127.0.0.1", lab.ports[0])):  # One that says nothing.
        lab.start(2, "count_refused")
        counts = [party.report()["result"] for party in lab.parties]
    assert counts[0] >= 4


def test_the_last_refusal_is_told_at_the_deadline(lab: Lab, tmp_path: Path) -> None:
    """When a party is missing, the error says that somebody was refused, and why."""
    lab.deadlines = {"start": 2.5}
    outsider = lab.authority.issue("bank-x", tmp_path)
    lab.listeners[2].close()
    parties = [lab.start(0, "idle")]
    with dialled(lab, 0, outsider) as connection:
        wait_for_end(connection)
    lab.listeners[1].close()
    (report,) = failures(parties)
    assert report["error"] == "PeerUnreachable"
    assert "bank-b" in report["text"]
    assert "bank-c" in report["text"]
    assert "a party that is not in this run" in report["text"]


def test_a_party_that_claims_to_be_another_is_named(lab: Lab) -> None:
    """With bank-b's certificate and bank-c's name the run fails, naming bank-b."""
    lab.deadlines = {"linger": 2.5}  # The other may start later than this one fails.
    first, second = lab.start(0, "idle"), lab.start(1, "idle")
    with dialled(lab, 0, lab.credentials[1]) as connection:
        greet(connection, hello_of(lab, 2, 0))
    own, told = failures([first, second])
    assert (own["error"], own["peer"]) == ("PeerIdentity", B)
    assert told["peer"] == B


def test_a_dialled_party_that_is_another_is_named(lab: Lab) -> None:
    """When bank-b answers at bank-c's address nothing is sent to it, and it is named."""
    with serving(lab, 2, lab.credentials[1]):
        reports = failures([lab.start(0, "idle"), lab.start(1, "idle")])
    assert (reports[0]["error"], reports[0]["peer"]) == ("PeerIdentity", B)
    # Both survivors dial it: who is second may hear of it before it sees for itself.
    assert any("bank-c was dialled" in report["text"] for report in reports)
    assert {report["peer"] for report in reports} == {B}


@pytest.mark.parametrize("case", ["authority", "names"])
def test_a_stranger_at_a_partys_address_is_not_greeted(lab: Lab, tmp_path: Path, case: str) -> None:
    """Another authority's certificate, or one with two names, leaves the party unreachable."""
    lab.deadlines = {"start": 2.0}
    if case == "authority":
        credentials = ThrowawayAuthority(CONSORTIUM).issue(C, tmp_path / "other")
    else:
        two = [party_uri(CONSORTIUM, C), party_uri(CONSORTIUM, B)]
        credentials = lab.authority.issue_with_uris("two-names", two, tmp_path)
    with serving(lab, 2, credentials):
        reports = failures([lab.start(0, "idle"), lab.start(1, "idle")])
    for report in reports:
        assert (report["error"], report["peer"]) == ("PeerUnreachable", C)
    expected = "TLS refused" if case == "authority" else "certificate with 2 party names"
    assert any(expected in report["text"] for report in reports)


def test_a_pickle_instead_of_a_greeting_is_refused(lab: Lab, tmp_path: Path) -> None:
    """A party whose greeting is a pickle is named; the pickle is not opened."""
    trace = tmp_path / "executed"
    evil = pickle.dumps(WritesFile(trace))
    lab.deadlines = {"linger": 2.5}  # The other may start later than this one fails.
    first, second = lab.start(0, "idle"), lab.start(1, "idle")
    with dialled(lab, 0, lab.credentials[2]) as connection:
        connection.sendall(struct.pack("<4sI", b"UCS1", len(evil)) + evil)
        wait_for_end(connection)
    for report in failures([first, second]):
        assert (report["error"], report["peer"]) == ("PeerProtocol", C)
    assert not trace.exists()


@pytest.mark.parametrize(
    "change",
    [{"contribution": b"short"}, {"prss": b"x"}, {"wire": True}, {"members": "text"}],
    ids=str,
)
def test_a_malformed_greeting_is_refused(lab: Lab, change: dict[str, object]) -> None:
    """Each field of a greeting is checked for type and length; its sender is named."""
    lab.listeners[1].close()
    first = lab.start(0, "idle")
    with dialled(lab, 0, lab.credentials[2]) as connection:
        greet(connection, dataclasses.replace(hello_of(lab, 2, 0), **change))  # type: ignore[arg-type]
    (report,) = failures([first])
    assert (report["error"], report["peer"]) == ("PeerProtocol", C)


@pytest.mark.parametrize("change", [{"run_id": "run-2"}, {"engine_version": "other/2"}], ids=str)
def test_a_party_of_another_run_or_version_is_named(lab: Lab, change: dict[str, str]) -> None:
    """Parties of different runs or versions do not compute together."""
    lab.deadlines = {"linger": 2.5}  # The other may start later than this one fails.
    lab.start(0, "idle")
    lab.start(1, "idle")
    lab.start(2, "idle", **change)
    first, second, third = failures(lab.parties)
    for report in (first, second):
        assert (report["error"], report["peer"]) == ("RunMismatch", C)
    assert third["error"] == "RunMismatch"


def test_an_own_certificate_of_another_party_is_a_config_error(lab: Lab) -> None:
    """A party that was given another's certificate says so itself, before it dials."""
    wrong = {"certificate": str(lab.credentials[1].certificate)}
    wrong["private_key"] = str(lab.credentials[1].private_key)
    (report,) = failures([lab.start(0, "idle", **wrong)])
    assert report["error"] == "ConfigError"
    assert "bank-b" in report["text"]


def test_a_taken_port_is_told_with_its_remedy(lab: Lab) -> None:
    """Without a socket handed over, a taken port ends the start at once."""
    taken = lab.listeners[1].getsockname()[1]
    (report,) = failures([lab.start(0, "idle", listen_fd=None, port=taken)])
    assert report["error"] == "AddressInUse"
    assert str(taken) in report["text"]
    assert "free port" in report["text"]


def test_only_the_agreed_certificate_will_do(lab: Lab, tmp_path: Path) -> None:
    """A second certificate for bank-c, from the very authority, is a stranger's."""
    lab.deadlines = {"start": 2.0}
    pinned = [
        [name, "127.0.0.1", port, fingerprint(credentials.certificate)]
        for name, port, credentials in zip(lab.names, lab.ports, lab.credentials, strict=True)
    ]
    second = lab.authority.issue(C, tmp_path / "second")
    with serving(lab, 2, second):
        reports = failures([lab.start(me, "idle", members=pinned) for me in (0, 1)])
    for report in reports:
        assert (report["error"], report["peer"]) == ("PeerUnreachable", C)
    assert any("not the certificate that was agreed" in report["text"] for report in reports)


def test_agreed_certificates_are_welcome(lab: Lab) -> None:
    """Parties that show the certificates that were agreed compute together."""
    pinned = [
        [name, "127.0.0.1", port, fingerprint(credentials.certificate)]
        for name, port, credentials in zip(lab.names, lab.ports, lab.credentials, strict=True)
    ]
    parties = [lab.start(me, "arrays", members=pinned) for me in range(3)]
    assert all(party.report()["result"]["ok"] for party in parties)


def test_an_own_certificate_that_was_not_agreed_is_a_config_error(lab: Lab, tmp_path: Path) -> None:
    """A party with a certificate that the others would refuse says so before it dials."""
    second = lab.authority.issue("bank-a", tmp_path / "second")
    members = [[n, "127.0.0.1", p] for n, p in zip(lab.names, lab.ports, strict=True)]
    members[0].append(fingerprint(lab.credentials[0].certificate))
    changes = {"certificate": str(second.certificate), "private_key": str(second.private_key)}
    (report,) = failures([lab.start(0, "idle", members=members, **changes)])
    assert report["error"] == "ConfigError"
    assert "not the certificate that was agreed" in report["text"]


def fingerprint(certificate: Path) -> str:
    """SHA-256 of the DER form."""
    return x509.load_pem_x509_certificate(certificate.read_bytes()).fingerprint(SHA256()).hex()
