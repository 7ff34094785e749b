"""Nothing is pretended: a worker has its own bank's data and nobody else's, and tells nothing."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

from bank_node.job import Job
from bank_node.launcher import WorkersFailedError
from simdata.dataset import read_dataset
from simdata.generate import generate

from .support import (
    Pooled,
    Watch,
    covering,
    read_scores,
    request_of,
    three_banks,
    unshare_command,
    worst_error,
)


def folders_of_others(job: Job) -> list[Path]:
    """Return the data and the credentials of all parties but this one."""
    assert job.data is not None
    others = [member.id for member in job.manifest.members if member.id != job.party]
    credentials = job.credentials.certificate.parent
    return [
        *(job.data.folder.with_name(other) for other in others),
        *(credentials.with_name(other) for other in others),
    ]


@dataclass(frozen=True)
class Observed:
    """A run whose workers were looked at, each shut off from the others' folders if possible."""

    out: Path
    shut_off: bool
    watch: Watch
    told: str
    processes: dict[str, bytes]


@pytest.fixture(scope="module")
def observed(generated: Path, tmp_path_factory: pytest.TempPathFactory) -> Observed:
    """The generated data set, as CSV this time, at debug level, each worker in its own mounts."""
    folder = tmp_path_factory.mktemp("observed")
    seed = read_dataset(generated).seed
    generate(
        folder / "data",
        banks=3,
        accounts=300,
        days=20,
        seed=seed or 0,
        payments_per_account=4,
        csv=True,
    )
    unshare = unshare_command()
    processes: dict[str, bytes] = {}

    def wrap(job: Job) -> list[str]:
        log = shlex.quote(str(folder / f"{job.party}.log"))
        logged = ["sh", "-c", f'UNDERCURRENT_LOG=DEBUG exec "$@" 2> {log}', "sh"]
        return logged if unshare is None else [*covering(unshare, folders_of_others(job)), *logged]

    def look(pids: dict[str, int]) -> None:
        for party, pid in pids.items():
            place = Path(f"/proc/{pid}")
            processes[party] = (place / "cmdline").read_bytes() + (place / "environ").read_bytes()

    watch = Watch(request_of(folder / "data", folder / "out"), wrap=wrap, act=look)
    watch.run()
    logs = [(folder / f"bank{i}.log").read_text() for i in (1, 2, 3)]
    assert all(logs), "a worker logged nothing at debug level"
    told = "\n".join([*logs, *(json.dumps(event) for event in watch.events)])
    return Observed(folder / "out", unshare is not None, watch, told, processes)


def test_each_worker_needs_its_own_folder_only(observed: Observed, truth: Pooled) -> None:
    """With the others' data and credentials covered by empty folders, the scores are the same."""
    if not observed.shut_off:
        pytest.skip("unshare -m does not work here")
    assert worst_error(read_scores(observed.out), truth.truth()) <= 1e-5


def test_csv_gives_the_same_as_parquet(observed: Observed, truth: Pooled) -> None:
    """The same data as CSV: the scores of the pooled Parquet files."""
    assert list((observed.watch.request.data / "banks" / "bank1").glob("*.csv"))
    assert worst_error(read_scores(observed.out), truth.truth()) <= 1e-5


def test_a_covered_folder_cannot_be_read(tmp_path: Path, scratch: Path) -> None:
    """The cover is real: a worker whose own folder is covered has no data, and the run fails."""
    unshare = unshare_command()
    if unshare is None:
        pytest.skip("unshare -m does not work here")
    data = three_banks(tmp_path / "data")

    def wrap(job: Job) -> list[str]:
        assert job.data is not None
        return covering(unshare, [job.data.folder]) if job.party == "B" else []

    with pytest.raises(WorkersFailedError, match=r"^B: .*accounts.*there") as caught:
        Watch(request_of(data, tmp_path / "out"), wrap=wrap).run()
    assert caught.value.exit_code == 2


def test_no_process_shows_an_account(observed: Observed, truth: Pooled) -> None:
    """Neither command line nor environment of a worker holds an account, a key or a folder."""
    assert set(observed.processes) == {"bank1", "bank2", "bank3"}
    for shown in observed.processes.values():
        assert b"bank_node.worker" in shown
        assert [a for _, a in truth.accounts if a.encode() in shown] == []
        assert b"PRIVATE KEY" not in shown


def test_no_worker_tells_an_account_or_a_score(observed: Observed, truth: Pooled) -> None:
    """At debug level neither logs nor events hold an account id, a score or a key."""
    assert '"event": "finished"' in observed.told
    assert [a for _, a in truth.accounts if a in observed.told] == []
    scores = [f"{score:.8g}" for score in read_scores(observed.out).values()]
    assert [score for score in scores if score in observed.told] == []
    assert "PRIVATE KEY" not in observed.told
