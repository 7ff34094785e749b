"""A failed run ends: soon, at every party, naming the one that failed, and leaving nothing."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from bank_node.job import Deadlines, Job
from bank_node.launcher import WorkersFailedError

from .support import ROOT, SHORT, Watch, request_of, three_banks

pytestmark = pytest.mark.usefixtures("scratch")

ENDLESS = {"iterations": "10000"}
HASTY = Deadlines(start=3, silence=2, receive=20)
A, B, C = "A", "B", "C"


@pytest.fixture
def ring(tmp_path: Path) -> Path:
    """Three banks with five accounts: what is slow in such a run is only its many iterations."""
    return three_banks(tmp_path / "data")


def watch(ring: Path, deadlines: Deadlines = SHORT, **changes: Any) -> Watch:
    """Return a run of 10,000 iterations."""
    out = ring.parent / "out"
    return Watch(request_of(ring, out, parameters=ENDLESS, deadlines=deadlines), **changes)


def send(party: str, number: signal.Signals) -> Callable[[dict[str, int]], None]:
    """Return the act that sends a signal to one party's worker."""
    return lambda pids: os.kill(pids[party], number)


def rogue(party: str, *how: str) -> Callable[[Job], Sequence[str]]:
    """Return the wrap that puts a rogue in the place of one party's worker."""
    command = (sys.executable, "-m", "tests.system.rogue", *how)
    return lambda job: command if job.party == party else ()


def told_by(error: WorkersFailedError, party: str) -> dict[str, object]:
    """Return the failure that a worker told."""
    (found,) = (e.failure for e in error.exits if e.party == party)
    assert found is not None
    return found


def assert_names(error: WorkersFailedError, culprit: str, codes: set[str]) -> None:
    """The others all name the culprit by one of the codes, and so does the error of the run."""
    assert error.exit_code == 4
    others = {A, B, C} - {culprit}
    named = set(re.findall(r"\b[ABC]\b", error.message.split("(seen by")[0]))
    assert named == {culprit}, error.message
    for other in others:
        told = told_by(error, other)
        assert (told["peer"], told["exit_code"]) == (culprit, 4), told
        assert told["code"] in codes, told


@pytest.mark.parametrize("victim", [A, pytest.param(C, marks=pytest.mark.slow)])
def test_a_killed_worker_is_named(ring: Path, victim: str) -> None:
    """After kill -9 in mid-run the others end within seconds and name the bank."""
    run = watch(ring, act=send(victim, signal.SIGKILL))
    error = run.fail()
    assert_names(error, victim, {"session.peer-lost"})
    assert run.acted is not None
    assert time.monotonic() - run.acted < SHORT.silence + 4


def test_a_stopped_worker_is_named(ring: Path) -> None:
    """After SIGSTOP in mid-run the others end at the silence deadline; it is killed soon after."""
    run = watch(ring, act=send(B, signal.SIGSTOP))
    error = run.fail()
    assert_names(error, B, {"session.peer-silent"})
    assert run.acted is not None
    assert time.monotonic() - run.acted < SHORT.silence + 10, "the stopped worker is waited for"


def test_a_worker_that_never_starts_is_named(ring: Path) -> None:
    """With a sleeping process in a worker's place, the others end at the start deadline."""
    asleep = ("sh", "-c", "exec sleep 300")
    run = watch(ring, HASTY, wrap=lambda job: asleep if job.party == B else ())
    began = time.monotonic()
    error = run.fail()
    assert_names(error, B, {"session.peer-unreachable"})
    assert time.monotonic() - began < HASTY.start + 25


@pytest.mark.slow
def test_another_partys_certificate_is_refused(ring: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A party that shows the certificate of another one ends the run; both are named."""
    monkeypatch.setenv("OTHER_PARTY", C)
    monkeypatch.chdir(ROOT)
    error = watch(ring, HASTY, wrap=rogue(B, "certificate")).fail()
    assert error.exit_code == 4
    told = told_by(error, A)
    assert told["code"] == "session.peer-identity"
    assert B in str(told["message"])
    assert C in str(told["message"])


@pytest.mark.parametrize(
    ("culprit", "how"), [(A, "pickle"), pytest.param(C, "length", marks=pytest.mark.slow)]
)
def test_a_message_that_is_not_as_agreed_is_refused(
    ring: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, culprit: str, how: str
) -> None:
    """A pickle, or eight bytes too many, from a party with valid credentials end the run.

    The pickle is never opened: it would have written a file.
    """
    monkeypatch.setenv("EVIL_FILE", str(tmp_path / "evil"))
    monkeypatch.chdir(ROOT)
    error = watch(ring, wrap=rogue(culprit, how)).fail()
    assert_names(error, culprit, {"session.frame-length"})
    assert not (tmp_path / "evil").exists()


@pytest.mark.slow
def test_a_pickle_among_mpycs_messages_is_never_opened(
    ring: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MPyC as it ships would run it; here it is no field element, and its sender is named."""
    monkeypatch.setenv("EVIL_FILE", str(tmp_path / "evil"))
    monkeypatch.chdir(ROOT)
    error = watch(ring, wrap=rogue(B, "mpyc-pickle")).fail()
    assert_names(error, B, {"session.payload-refused"})
    assert not (tmp_path / "evil").exists()


@pytest.mark.slow
def test_noise_is_no_party(ring: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A party that sends garbage instead of a handshake is as good as not there."""
    monkeypatch.chdir(ROOT)
    error = watch(ring, HASTY, wrap=rogue(B, "garbage")).fail()
    assert_names(error, B, {"session.peer-unreachable"})


@pytest.mark.slow
def test_foreign_output_is_an_error_in_words(ring: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something else on a worker's standard output ends the run, with its name and a remedy."""
    monkeypatch.chdir(ROOT)
    error = watch(ring, HASTY, wrap=rogue(B, "chatter")).fail()
    assert error.message.startswith("B: ")
    assert "standard output" in error.message


def test_a_refusal_is_told_by_its_reason(tmp_path: Path) -> None:
    """What one bank refuses in mid-run is the run's error: its words and exit code, not a code."""
    data = three_banks(tmp_path / "data")
    with (data / "banks" / B / "transactions.csv").open("a") as file:
        file.write("t9,2026-01-05T10:00:00Z,B,b1,C,c1x,7,EUR\n")
    parameters = ENDLESS | {"max_unmatched": "0"}
    error = Watch(request_of(data, tmp_path / "out", parameters=parameters)).fail()
    assert error.exit_code == 2
    assert error.message.startswith("B: 1 of the ")
    assert "max_unmatched" in error.remedy
