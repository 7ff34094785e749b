"""A process that is killed while it takes in has taken in all or nothing."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bank_node.intake import sweep
from bank_node.intake.errors import IntakeStorageError
from tests.bank_node.intake.bank import NOW, Bank, payment

PROGRAM = """
import os, resource, signal, sys
from pathlib import Path
from bank_node.intake import JsonDays
from tests.bank_node.intake.bank import Bank, NOW
import tests.bank_node.intake.bank as helpers

class Killed(JsonDays):
    def commit(self, *args):
        if sys.argv[2] == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        super().commit(*args)
        if sys.argv[2] == "after":
            os.kill(os.getpid(), signal.SIGKILL)

helpers.JsonDays = Killed
if sys.argv[2] == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
print("ready", flush=True)
try:
    Bank(Path(sys.argv[1])).take()
except Exception as error:
    print(type(error).__name__, error)
    sys.exit(3)
"""


def start(place: Path, moment: str) -> subprocess.Popen[str]:
    """Take in, in a process of its own that dies at a moment."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(place), moment], stdout=subprocess.PIPE, text=True
    )


def fill(bank: Bank, rows: int) -> None:
    """Payments over ten days."""
    bank.payments(*(payment(n, f"2026-05-{n % 10 + 1:02}") for n in range(rows)))


@pytest.mark.parametrize(("moment", "accepted"), [("before", 50), ("after", 0)])
def test_killed_beside_the_commit(bank: Bank, tmp_path: Path, moment: str, accepted: int) -> None:
    """Killed before the list is written nothing counts, after it everything, and once."""
    fill(bank, 50)
    process = start(tmp_path, moment)
    assert process.wait(60) == -signal.SIGKILL
    assert len(list(bank.data.glob("days/*/*.parquet"))) == 10
    assert len(bank.ids()) == 50 - accepted
    removed = sweep(bank.data, bank.days.listed())
    assert removed == (11 if moment == "before" else 0)
    report = bank.take()
    assert report.accepted == accepted
    assert sorted(map(int, bank.ids())) == list(range(50))
    assert bank.read().accounts.num_rows == 2


def test_killed_at_any_moment(bank: Bank, tmp_path: Path) -> None:
    """Killed again and again at moments of chance, a bank ends with each payment once."""
    fill(bank, 20_000)
    for attempt in range(6):
        process = start(tmp_path, "never")
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.05 + 0.12 * attempt)
        process.kill()
        process.wait(60)
        assert len(bank.ids()) in (0, 20_000)
    bank.take()
    sweep(bank.data, bank.days.listed())
    assert sorted(map(int, bank.ids())) == list(range(20_000))
    assert {str(p.relative_to(bank.data)) for p in bank.data.rglob("*.parquet")} == {
        name for name in bank.files if name.endswith(".parquet")
    }


def test_killed_beside_forgetting(bank: Bank, tmp_path: Path) -> None:
    """Killed before the list is written, retention has removed nothing and moved no balance."""
    fill(bank, 50)
    bank.take()
    before = bank.state()
    program = PROGRAM.replace(".take()", '.forget("2026-05-05")')
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), "before"], capture_output=True, timeout=60
    )
    assert done.returncode == -signal.SIGKILL
    assert bank.state() == before
    assert bank.forget("2026-05-05") == 4
    assert len(bank.ids()) == 30


def test_a_full_disk_is_told(bank: Bank, tmp_path: Path) -> None:
    """Where files cannot grow any more nothing is taken in, and the error says so."""
    fill(bank, 60_000)
    process = start(tmp_path, "full")
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 3
    assert IntakeStorageError.__name__ in text
    assert bank.days.listed() == []
    assert bank.take(NOW).accepted == 60_000


def test_too_little_memory_is_enough(bank: Bank) -> None:
    """With the least memory that can be set, more rows than it holds are taken in."""
    fill(bank, 200_000)
    assert bank.take(memory_mb=256).accepted == 200_000
