"""What an open session gives: messages, seeds, MPyC, and a clean end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .lab import Lab

pytestmark = pytest.mark.timeout(60)


def results(lab: Lab) -> list[Any]:
    """Return the results of parties that must all have ended well, leaving nothing behind."""
    reports = [party.report() for party in lab.parties]
    for party, report in zip(lab.parties, reports, strict=True):
        assert party.process.returncode == 0, report
        assert report["threads"] == [], "a thread is left"
        assert report["sockets"] == 0, "a socket is left"
        assert report["stderr"] == ""
    return [report["result"] for report in reports]


@pytest.mark.parametrize("m", [3, 4, 5])
def test_arrays_arrive_and_seeds_are_pairwise(tmp_path: Path, m: int) -> None:
    """Arrays of 0 to 300,000 numbers arrive unchanged; a seed is known to its pair only."""
    lab = Lab(tmp_path, m=m)
    try:
        lab.start_all("arrays")
        got = results(lab)
    finally:
        lab.close()
    assert all(result["ok"] for result in got)
    assert all(set(result["sent"].values()) == {4} for result in got)
    seeds = {(i, int(j)): seed for i, r in enumerate(got) for j, seed in r["seeds"].items()}
    assert all(seeds[i, j] == seeds[j, i] for i, j in seeds)
    assert len(set(seeds.values())) == m * (m - 1) // 2
    assert all(len(seed) == 64 for seed in seeds.values())


@pytest.mark.parametrize("m", [3, 4, 5])
def test_mpyc_computes_over_the_session(tmp_path: Path, m: int) -> None:
    """SecInt, SecFxp, arrays, statistics, comparison, random bits, transfer: all right."""
    lab = Lab(tmp_path, m=m)
    try:
        lab.start_all("mpyc")
        for result in results(lab):
            assert all(result.values()), result
    finally:
        lab.close()


def test_early_messages_beyond_the_budget_wait(lab: Lab) -> None:
    """8 MiB for a slow reader pass an early budget of 1 MiB, complete and without failure."""
    lab.limits = {"message": 1 << 20, "mpyc": 1 << 20, "early": 1 << 20, "queue": 8 << 20}
    lab.start_all("backpressure")
    assert results(lab) == ["ok"] * 3


def test_waiting_for_a_slow_party_is_no_failure(lab: Lab) -> None:
    """A party that finishes later than the silence timeout is not lost: it sends heartbeats."""
    lab.start_all("slow_finish")
    assert results(lab) == ["ok"] * 3


def test_a_computing_party_is_not_silent(lab: Lab) -> None:
    """Heartbeats leave while the event loop computes for longer than the silence timeout."""
    lab.start_all("blocked")
    assert results(lab) == ["ok"] * 3
