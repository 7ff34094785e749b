"""The secure joint runs of a comparison: the lab's real workers on the data set with marks.

Each bank's folder is laid out anew with its payments as they are and its accounts with the marks in
place of the initial scores, so that a worker reads what its bank would have given it, no more.
"""

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow.csv import ConvertOptions, read_csv

from bank_node.ingest import minor_units
from bank_node.job import Deadlines
from bank_node.launcher import OnEvent
from simdata.comparison.analyses import ANALYSES, PARAMETERS, analysis_of
from simdata.comparison.marking import Marks
from simdata.comparison.payments import Labelled
from simdata.dataset import bank_folder, dataset_toml
from simdata.lab import LabRequest, run_lab

__all__ = ["Listen", "SecureRuns", "lay_out", "run_secure"]

Floats = NDArray[np.float64]
Listen = Callable[[str], AbstractContextManager[OnEvent]]
"""From the name of an analysis to what listens to the events of its run."""


@dataclass(frozen=True)
class SecureRuns:
    """Results and records of the secure runs.

    Attributes:
        results: for each analysis the result of each account, (n,); 0 where none was asked for.
        records: for each analysis what stands in its ``run.json``.
    """

    results: dict[str, Floats]
    records: dict[str, dict[str, Any]]


async def run_secure(
    folder: Path,
    data: Labelled,
    marks: Marks,
    listen: Listen,
    *,
    compute: int = 0,
    deadline: float = 60.0,
) -> SecureRuns:
    """Run all analyses of a comparison, one after the other.

    Args:
        folder: the data set's folder.
        data: the data set.
        marks: the banks' private inputs.
        listen: what listens to the events of a run.
        compute: compute parties without data.
        deadline: seconds until a silent party is given up.

    Raises:
        UndercurrentError: a run failed.
    """
    results, records = {}, {}
    with tempfile.TemporaryDirectory(prefix="undercurrent-compare-") as name:
        work = Path(name)
        lay_out(work / "data", folder, data, marks)
        for analysis in ANALYSES:
            request = LabRequest(
                data=work / "data",
                analysis=analysis_of(analysis),
                out=work / analysis,
                parameters=PARAMETERS[analysis],
                compute=compute,
                deadlines=Deadlines(silence=deadline),
            )
            with listen(analysis) as on_event:
                records[analysis] = await run_lab(request, on_event)
            results[analysis] = _read(work / analysis, data)
    return SecureRuns(results, records)


def lay_out(work: Path, folder: Path, data: Labelled, marks: Marks) -> None:
    """Write the data set with the marks to ``work``; payments are links to the files there are."""
    work.mkdir()
    (work / "dataset.toml").write_text(dataset_toml(data.dataset), "utf-8")
    places = minor_units(data.dataset.base_currency)
    for number, bank in enumerate(data.dataset.banks):
        place = bank_folder(work, bank)
        place.mkdir(parents=True)
        for path in bank_folder(folder, bank).glob("transactions.*"):
            (place / path.name).symlink_to(path.resolve())
        own = np.flatnonzero(data.bank == number)
        _write_accounts(place / "accounts.parquet", data, marks, own, places)


def _write_accounts(
    path: Path, data: Labelled, marks: Marks, own: NDArray[np.int64], places: int
) -> None:
    table = pa.table(  # noqa: F841 - DuckDB finds it by its name
        {
            "account": pa.array([data.account[v] for v in own], pa.string()),
            "risk_score": marks.suspicion[own],
            "minor": pa.array(data.balance[own], mask=~data.balance_known[own]),
            "in_scope": marks.scope[own],
        }
    )
    unit = f"CAST('{10.0**-places:.{places}f}' AS DECIMAL(10, {places}))"
    name = str(path).replace("'", "''")
    with duckdb.connect() as con:
        con.execute(f"""
            COPY (SELECT account, risk_score, CAST(minor AS DECIMAL(20, 0)) * {unit} AS balance,
                in_scope FROM "table") TO '{name}' (FORMAT parquet)
        """)  # noqa: S608 - a number and a quoted path


def _read(out: Path, data: Labelled) -> Floats:
    """Return the scores of all accounts; those that were not asked about have 0."""
    found = np.zeros(len(data))
    text = ConvertOptions(column_types={"account": pa.string(), "score": pa.float64()})
    for number, bank in enumerate(data.dataset.banks):
        own = np.flatnonzero(data.bank == number)
        accounts = pa.array([data.account[v] for v in own], pa.string())
        rows = read_csv(out / bank / "scores.csv", convert_options=text)
        place = pc.index_in(rows["account"], value_set=accounts).to_numpy()
        found[own[place]] = rows["score"].to_numpy()
    return found
