"""A failure ends the run at every party, within its deadline, naming the same culprit."""

from __future__ import annotations

import pickle
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from .lab import Lab, Party
from .rogue import WritesFile

pytestmark = pytest.mark.timeout(60)

A, B, C = "bank-a", "bank-b", "bank-c"


def failures(parties: list[Party]) -> list[dict[str, Any]]:
    """Return the reports of parties that must all have failed, leaving nothing behind."""
    reports = [party.report() for party in parties]
    for party, report in zip(parties, reports, strict=True):
        assert party.process.returncode == 1, report
        assert "error" in report, report
        assert report["threads"] == [], "a thread is left"
        assert report["sockets"] == 0, "a socket is left"
    return reports


def ready(lab: Lab) -> list[Party]:
    """Return the parties of the lab, all connected."""
    for party in lab.parties:
        party.wait_ready()
    return lab.parties


@pytest.mark.parametrize("program", ["wait", "idle", "wait_mpyc"])
def test_a_killed_party_is_named(lab: Lab, program: str) -> None:
    """After kill -9 both others end at once with PeerLost for it, whatever they await."""
    lab.start_all(program)
    first, second, victim = ready(lab)
    began = time.monotonic()
    victim.process.kill()
    for report in failures([first, second]):
        assert (report["error"], report["peer"]) == ("PeerLost", C)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_party_that_fails_under_load_is_named_by_all(tmp_path: Path, how: signal.Signals) -> None:
    """In the middle of an exchange of large arrays among four, all survivors name the culprit."""
    lab = Lab(tmp_path, m=4)
    try:
        lab.start_all("traffic")
        *survivors, victim = ready(lab)
        time.sleep(0.3)
        victim.process.send_signal(how)
        expected = "PeerLost" if how is signal.SIGKILL else "PeerSilent"
        for report in failures(survivors):
            assert (report["error"], report["peer"]) == (expected, "bank-d")
    finally:
        lab.close()


def test_a_stopped_party_is_named(lab: Lab) -> None:
    """After SIGSTOP both others end with PeerSilent for it, within silence and linger."""
    lab.start_all("idle")
    first, second, victim = ready(lab)
    began = time.monotonic()
    victim.process.send_signal(signal.SIGSTOP)
    for report in failures([first, second]):
        assert (report["error"], report["peer"]) == ("PeerSilent", C)
    assert time.monotonic() - began < 5
    victim.process.send_signal(signal.SIGCONT)
    failures([victim])


def test_a_party_that_never_starts_is_named(lab: Lab) -> None:
    """At the start deadline both others end with PeerUnreachable for it, with the reason."""
    lab.deadlines = {"start": 2.0}
    lab.listeners[2].close()
    parties = [lab.start(0, "idle"), lab.start(1, "idle")]
    reports = failures(parties)
    for report in reports:
        assert (report["error"], report["peer"]) == ("PeerUnreachable", C)
        assert report["seconds"] < 5
    assert any("connection refused" in report["text"] for report in reports)


def test_an_alive_party_that_sends_nothing_is_named(lab: Lab) -> None:
    """At the receive deadline all end: the one who waited and, told by it, the others."""
    lab.deadlines = {"receive": 1.0}
    lab.start_all("stalled")
    first, second, third = failures(lab.parties)
    assert (first["error"], first["peer"]) == ("PeerStalled", B)
    assert (second["error"], second["peer"]) == ("PeerAborted", B)
    assert (third["error"], third["peer"]) == ("PeerStalled", B)


def test_a_party_can_end_the_run(lab: Lab) -> None:
    """A local abort reaches the others with its code, and names the party that gave up."""
    lab.start_all("quit_early")
    own, *others = failures(lab.parties)
    assert own["error"] == "Aborted"
    for report in others:
        assert (report["error"], report["peer"]) == ("PeerAborted", A)
        assert "user-request" in report["text"]


def test_an_exception_in_an_mpyc_coroutine_ends_the_run(lab: Lab) -> None:
    """MPyC would hang; here all parties end, and the exception's text stays at home."""
    lab.start_all("bug")
    own, *others = failures(lab.parties)
    assert (own["error"], own["cause"]) == ("ComputationFailed", "ZeroDivisionError")
    for report in [own, *others]:
        assert "4711" not in report["text"]
    for report in others:
        assert (report["error"], report["peer"]) == ("PeerAborted", A)
        assert "session.computation-failed" in report["text"]


def test_an_exception_of_the_program_ends_the_run(lab: Lab) -> None:
    """It leaves the session unchanged, and the others learn whose it was but not its text."""
    lab.start_all("crash")
    broken, *others = lab.parties
    out, err = broken.process.communicate(timeout=20)
    assert (broken.process.returncode, out) == (1, "")
    assert "LookupError: secret 4711" in err
    for report in failures(others):
        assert (report["error"], report["peer"]) == ("PeerAborted", A)
        assert "internal-error" in report["text"]
        assert "4711" not in report["text"] + report["stderr"]


def test_failure_is_sticky(lab: Lab) -> None:
    """All that is tried later raises the same error, and a body that swallows it fails still."""
    first, second = lab.start(0, "sticky"), lab.start(1, "sticky")
    victim = lab.start(2, "idle")
    ready(lab)
    victim.process.kill()
    for report in failures([first, second]):
        assert (report["error"], report["peer"]) == ("PeerLost", C)


def test_an_interrupt_ends_the_run_for_all(lab: Lab) -> None:
    """Ctrl-C at one party is an abort by that party at the others."""
    lab.start_all("idle")
    interrupted, *others = ready(lab)
    interrupted.process.send_signal(signal.SIGINT)
    for report in failures(others):
        assert (report["error"], report["peer"]) == ("PeerAborted", A)
        assert "cancelled" in report["text"]


@pytest.mark.parametrize("case", ["posted", "early"])
def test_a_wrong_length_is_refused(lab: Lab, case: str) -> None:
    """A message of another length than awaited fails, if it comes after or before the fetch."""
    lab.start_all("wrong_length", {"LENGTH_CASE": case})
    culprit, receiver, third = failures(lab.parties)
    assert (receiver["error"], receiver["peer"]) == ("FrameLengthError", A)
    assert (third["error"], third["peer"]) == ("FrameLengthError", A)
    assert culprit["peer"] == A


def test_a_message_above_the_limit_is_refused(lab: Lab) -> None:
    """The announced length is refused before memory is taken for it."""
    lab.limits = {"message": 1 << 20, "mpyc": 1 << 20, "early": 1 << 20, "queue": 8 << 20}
    lab.start_all("huge")
    _, receiver, third = failures(lab.parties)
    assert (receiver["error"], receiver["peer"]) == ("FrameLengthError", A)
    assert (third["error"], third["peer"]) == ("FrameLengthError", A)


def test_a_failure_after_the_farewell_reaches_the_others(lab: Lab) -> None:
    """Who has finished and gives up waiting for the others ends the run for them too."""
    lab.deadlines = {"shutdown": 1.0}
    lab.start_all("late_abort")
    finished, stalled, third = failures(lab.parties)
    assert (finished["error"], finished["peer"]) == ("PeerStalled", B)
    assert (stalled["error"], stalled["peer"]) == ("PeerAborted", B)
    assert (third["error"], third["peer"]) == ("PeerStalled", B)


def test_posting_without_waiting_is_bounded(lab: Lab) -> None:
    """The send queue has a limit in bytes; reaching it ends the run with the remedy."""
    lab.limits = {"message": 1 << 20, "mpyc": 1 << 20, "early": 1 << 20, "queue": 8 << 20}
    lab.start_all("overfull")
    own, *others = failures(lab.parties)
    assert own["error"] == "SendQueueFull"
    assert "drain" in own["text"]
    for report in others:
        assert (report["error"], report["peer"]) == ("PeerAborted", A)


def test_a_message_sent_twice_is_refused(lab: Lab) -> None:
    """A tag counts once."""
    lab.start_all("twice")
    _, receiver, third = failures(lab.parties)
    assert (receiver["error"], receiver["peer"]) == ("PeerProtocol", A)
    assert (third["error"], third["peer"]) == ("PeerProtocol", A)


def test_a_flood_of_early_messages_ends_the_run(lab: Lab) -> None:
    """Messages beyond the early budget that nobody awaits by the deadline are a failure."""
    lab.deadlines = {"receive": 1.0}
    lab.limits = {"message": 1 << 20, "mpyc": 1 << 20, "early": 1 << 20, "queue": 64 << 20}
    lab.start_all("flood")
    _, receiver, third = failures(lab.parties)
    assert (receiver["error"], receiver["peer"]) == ("PeerProtocol", A)
    assert (third["error"], third["peer"]) == ("PeerProtocol", A)


def test_a_pickle_as_mpyc_message_is_refused(lab: Lab, tmp_path: Path) -> None:
    """The pickle is not opened, and its sender is named."""
    trace = tmp_path / "executed"
    evil = pickle.dumps(WritesFile(trace))
    lab.start_all("pickle_payload", {"EVIL_PICKLE": evil.hex()})
    _, receiver, third = failures(lab.parties)
    assert (receiver["error"], receiver["peer"]) == ("PayloadRefused", A)
    assert (third["error"], third["peer"]) == ("PayloadRefused", A)
    assert not trace.exists()


def test_a_party_that_leaves_too_early_is_named(lab: Lab) -> None:
    """Who says goodbye while a message is awaited of it fails the run at once."""
    lab.start_all("leaves")
    _, receiver, third = failures(lab.parties)
    assert (receiver["error"], receiver["peer"]) == ("PeerProtocol", A)
    assert (third["error"], third["peer"]) == ("PeerProtocol", A)
