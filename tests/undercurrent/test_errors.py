"""Bad input: one line that says what is wrong and what to do; exit code; nothing is written."""

from __future__ import annotations

import csv
import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bank_node.job import CredentialPaths, DataSource, Deadlines, Job, Manifest, MemberEntry
from graph_mpc.errors import Overflow
from graph_mpc.precision import choose_fixed_point
from graph_mpc.session import ThrowawayAuthority
from tests.system.support import assert_nothing_at, three_banks, write_bank
from undercurrent import cli

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def lab_run(tmp_path: Path, scratch: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """``undercurrent lab run``, which must complain in one line and write nothing."""

    def run(data: Path, *options: str) -> tuple[int, str]:
        chosen = [] if "--analysis" in options else ["--analysis", "pagerank"]
        code = cli.run(["lab", "run", str(data), *chosen, *options, "--out", str(tmp_path / "out")])
        stdout, stderr = capsys.readouterr()
        assert stdout == ""
        assert len(stderr.splitlines()) == 1, stderr
        assert stderr.startswith("undercurrent: ")
        assert_nothing_at(tmp_path / "out")
        return code, stderr

    return run


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--analysis", "page"], "there is no analysis 'page'. Choose one of: pagerank"),
        (["-p", "beta=1"], "parameter beta of pagerank"),
        (["-p", "alpha=1"], "parameter alpha of pagerank: input should be less than 1"),
        (["-p", "alpha=much"], "parameter alpha"),
        (["-p", "iterations=0"], "parameter iterations"),
        (["-p", "weight=heavy"], "parameter weight"),
        (["-p", "precision=low"], "parameter precision"),
        (["-p", "tolerance=0"], "parameter tolerance"),
        (["-p", "alpha=nan"], "parameter alpha"),
        (["-p", "alpha=0.99999999"], "choose a smaller alpha"),
        (["-p", "alpha"], "-p 'alpha' is not KEY=VALUE"),
        (["-p", "alpha=0.8", "-p", "alpha=0.9"], "-p alpha is given twice"),
        (["-p", "tolerance=1e-6", "-p", "iterations=9"], "both tolerance and iterations"),
        (["--policy", "bands"], "policy 'bands'"),
        (["--compute", "-1"], "--compute"),
        (["--compute", "many"], "--compute"),
        (["--compute", "100"], "64"),
        (["--deadline", "0"], "--deadline"),
        (["--params", "/nowhere.toml"], "/nowhere.toml"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_wrong_usage_is_told(lab_run: Run, tmp_path: Path, options: list[str], said: str) -> None:
    """Options and parameters that cannot be: exit code 2."""
    code, stderr = lab_run(three_banks(tmp_path / "data"), *options)
    assert said in stderr
    assert code == 2


def test_wrong_parameter_files_are_told(lab_run: Run, tmp_path: Path) -> None:
    """A file of parameters that is no TOML: exit code 2."""
    (tmp_path / "p.toml").write_text("alpha: 0.8")
    code, stderr = lab_run(three_banks(tmp_path / "data"), "--params", str(tmp_path / "p.toml"))
    assert "p.toml" in stderr
    assert code == 2


def test_two_parties_are_refused(lab_run: Run, tmp_path: Path) -> None:
    """The message says why two are too few and that --compute mends it: exit code 2."""
    write_bank(tmp_path / "data", "A", ["a"], ["t1,A,a,B,b,1"])
    write_bank(tmp_path / "data", "B", ["b"], ["t1,A,a,B,b,1"])
    code, stderr = lab_run(tmp_path / "data")
    assert "no honest majority and so no privacy" in stderr
    assert "add --compute 1" in stderr
    assert code == 2


def _missing(data: Path) -> None:
    for path in sorted(data.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    data.rmdir()


def _empty(data: Path) -> None:
    _missing(data)
    (data / "banks").mkdir(parents=True)


def _unlisted(data: Path) -> None:
    (data / "dataset.toml").write_text('banks = ["A", "B", "C", "D"]')


def _broken_toml(data: Path) -> None:
    (data / "dataset.toml").write_text("banks = [")


def _twins(data: Path) -> None:
    (data / "banks" / "7").mkdir()
    (data / "banks" / "007").mkdir()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_missing, "there is no folder banks"),
        (_empty, "there is no bank in it"),
        (_unlisted, "bank D is missing"),
        (_broken_toml, "dataset.toml"),
        (_twins, "leading zeros"),
    ],
)
def test_no_data_set_is_told(
    lab_run: Run, tmp_path: Path, spoil: Callable[[Path], None], said: str
) -> None:
    """A folder that is no data set: exit code 2, before any worker starts."""
    data = three_banks(tmp_path / "data")
    spoil(data)
    code, stderr = lab_run(data)
    assert said in stderr
    assert code == 2


def _without_column(folder: Path) -> None:
    path = folder / "transactions.csv"
    path.write_text(path.read_text().replace("amount", "sum"))


def _no_csv(folder: Path) -> None:
    (folder / "accounts.csv").write_bytes(bytes(range(256)) * 20)


def _latin(folder: Path) -> None:
    (folder / "accounts.csv").write_bytes("account,customer\nb1,Müller\n".encode("latin-1"))


def _no_file(folder: Path) -> None:
    (folder / "transactions.csv").unlink()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_without_column, "column amount missing"),
        pytest.param(_no_csv, "accounts.csv", marks=pytest.mark.slow),
        pytest.param(_latin, "UTF-8", marks=pytest.mark.slow),
        pytest.param(_no_file, "neither transactions.csv nor", marks=pytest.mark.slow),
    ],
)
def test_a_banks_unusable_file_is_told(
    lab_run: Run, tmp_path: Path, spoil: Callable[[Path], None], said: str
) -> None:
    """What one bank's worker cannot read ends the run at once, with bank and file: exit code 2."""
    data = three_banks(tmp_path / "data")
    spoil(data / "banks" / "B")
    code, stderr = lab_run(data)
    assert stderr.startswith("undercurrent: B: ")
    assert said in stderr
    assert code == 2


def test_no_risk_at_all_is_told(lab_run: Run, tmp_path: Path) -> None:
    """personalisation=risk_score where no bank has any risk: refused, exit code 2."""
    payments = ["t1,A,a,B,b,1", "t2,B,b,C,c,1"]
    for bank, account in (("A", "a"), ("B", "b"), ("C", "c")):
        own = [p for p in payments if f",{bank}," in p]
        write_bank(tmp_path / "data", bank, [account], own, risk="0")
    code, stderr = lab_run(tmp_path / "data", "-p", "personalisation=risk_score")
    assert "risk" in stderr
    assert code == 2


def test_results_are_not_overwritten(
    tmp_path: Path, scratch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """OUT that is not empty is refused; --force replaces results, and nothing else."""
    data, out = three_banks(tmp_path / "data"), tmp_path / "out"
    command = ["lab", "run", str(data), "--analysis", "pagerank", "--out", str(out)]
    command += ["-p", "iterations=3"]
    out.mkdir()
    (out / "novel.txt").write_text("chapter one")
    for options, said in (([], "not empty"), (["--force"], "something else")):
        assert cli.run([*command, *options]) == 2
        assert said in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["novel.txt"]
    (out / "run.json").write_text("{}")
    assert cli.run([*command, "--force"]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["A", "B", "C", "run.json"]
    assert json.loads((out / "run.json").read_text())["iterations"] == 3
    assert [path.name for path in tmp_path.glob(".out*")] == []


def test_a_file_in_the_place_of_out_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """OUT that is a file: exit code 2, and the file stays."""
    (tmp_path / "out").write_text("mine")
    data = three_banks(tmp_path / "data")
    command = ["lab", "run", str(data), "--analysis", "pagerank", "--out", str(tmp_path / "out")]
    assert cli.run(command) == 2
    assert "there is a file in its place" in capsys.readouterr().err
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.slow
def test_rejected_rows_do_not_fail_a_run(
    tmp_path: Path, scratch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unparsable amounts are listed, counted, and mentioned in the summary: exit code 0."""
    data = three_banks(tmp_path / "data")
    with (data / "banks" / "B" / "transactions.csv").open("a") as file:
        file.write("t8,2026-01-05T10:00:00Z,B,b1,B,b2,12x,EUR\n")
        file.write("t9,2026-01-05T10:00:00Z,B,b1,B,b2,,EUR\n")
    out = tmp_path / "out"
    command = ["lab", "run", str(data), "--analysis", "pagerank", "--out", str(out)]
    assert cli.run([*command, "-p", "iterations=3"]) == 0
    stdout, stderr = capsys.readouterr()
    assert "2 rows could not be used" in stdout
    assert stderr == ""
    with (out / "B" / "rejected.csv").open(newline="") as file:
        assert [row["tx_id"] for row in csv.DictReader(file)] == ["t8", "t9"]
    record = json.loads((out / "run.json").read_text())
    assert sum(record["ingest"]["B"]["rejected"].values()) == 2


def test_too_large_a_run_is_refused_before_it_starts() -> None:
    """A number of accounts that leaves too few bits for the accuracy has no fixed-point format."""
    with pytest.raises(Overflow, match="too few for the promised accuracy"):
        choose_fixed_point(2.0**40, 2, 0.15)


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    """A worker whose port is taken says so in its failure, with the remedy."""
    data = three_banks(tmp_path / "data")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = _worker(_job(data, tmp_path, port))
    failure = json.loads(ended.stdout.splitlines()[-1])
    assert failure["code"] == "session.address-in-use"
    assert f"port {port}" in failure["message"]
    assert "free port" in failure["remedy"]
    assert ended.returncode == failure["exit_code"] == 1
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("text", ["", "nonsense", "{}", '{"manifest": 1}'])
def test_a_wrong_job_is_told(text: str) -> None:
    """A worker without a proper job says what is wrong with it: exit code 2."""
    ended = _worker(text)
    failure = json.loads(ended.stdout)
    assert failure["event"] == "failed"
    assert "job on standard input" in failure["message"]
    assert ended.returncode == 2
    assert ended.stderr == ""


def _worker(job: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bank_node.worker"],
        input=job + "\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def _job(data: Path, folder: Path, port: int) -> str:
    paths = ThrowawayAuthority("lab").issue("A", folder / "keys")
    members = [
        MemberEntry(
            id=name, role="bank", host="127.0.0.1", port=port + i if port < 65000 else port - i
        )
        for i, name in enumerate("ABC")
    ]
    manifest = Manifest(
        run_id="r1", consortium="lab", analysis="pagerank", version="1", parameters={},
        members=members,
    )  # fmt: skip
    job = Job(
        manifest=manifest,
        party="A",
        credentials=CredentialPaths(
            certificate=paths.certificate,
            private_key=paths.private_key,
            authority=paths.authority,
        ),
        deadlines=Deadlines(start=5, silence=2),
        data=DataSource(folder=data / "banks" / "A"),
        out=folder / "out",
    )
    return job.model_dump_json()
