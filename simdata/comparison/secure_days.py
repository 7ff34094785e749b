"""The joint detection of a replay by the lab's real workers, each time on the payments until then.

The plain analyses are computed beside them, to tell how the two agree; the replay goes on with what
the workers found.
"""

import asyncio
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bank_node.ingest import BankData, minor_units, read_bank
from simdata.comparison.agreement import agreements
from simdata.comparison.analyses import ANALYSES, pooled
from simdata.comparison.marking import Marks
from simdata.comparison.payments import Labelled, Payments
from simdata.comparison.secure import Listen, SecureRuns, run_secure
from simdata.dataset import bank_folder

__all__ = ["SecureDays", "SecureRecord", "write_until"]

Floats = NDArray[np.float64]
Run = Callable[[Coroutine[Any, Any, SecureRuns]], SecureRuns]


@dataclass
class SecureRecord:
    """What the secure runs of a replay took, and how they agree with the analyses in plain.

    Attributes:
        runs: number of joint runs.
        seconds: of all runs together, wall time.
        bytes_sent: by all parties together.
        bound_used: largest share of what a run's stated bound allows; at most 1 if all hold.
        different: accounts that the plain analyses would have flagged on another day, or not.
    """

    runs: int = 0
    seconds: float = 0.0
    bytes_sent: int = 0
    bound_used: float = 0.0
    different: int = 0


class SecureDays:
    """The joint world of ``replay_days`` by secure runs.

    Args:
        folder: the data set's folder.
        data: the data set.
        listen: what listens to the events of a run.
        compute: compute parties without data.
        deadline: seconds until a silent party is given up.
        run: runs a coroutine to its end.

    Attributes:
        record: of the runs so far.
    """

    def __init__(
        self,
        folder: Path,
        data: Labelled,
        listen: Listen,
        *,
        compute: int = 0,
        deadline: float = 60.0,
        run: Run = asyncio.run,
    ) -> None:
        self.record = SecureRecord()
        self._listen = listen
        self._compute = compute
        self._deadline = deadline
        self._run = run
        described = data.dataset
        self._banks = [
            (
                bank,
                read_bank(
                    bank_folder(folder, bank),
                    bank,
                    base_currency=described.base_currency,
                    rates=described.rates,
                ),
            )
            for bank in described.banks
        ]

    def __call__(self, data: Labelled, payments: Payments, marks: Marks) -> dict[str, Floats]:
        """Return the results of all analyses over the payments so far, (n,) each.

        Raises:
            UndercurrentError: a run failed.
        """
        if not marks.suspicion.any():  # Nobody has paid yet, so nobody has anything to put in.
            return {name: np.zeros(len(data)) for name in ANALYSES}
        with tempfile.TemporaryDirectory(prefix="undercurrent-replay-") as name:
            for bank, rows in self._banks:
                write_until(bank_folder(Path(name), bank), rows, int(payments.time[-1]))
            runs = self._run(
                run_secure(
                    Path(name),
                    data,
                    marks,
                    self._listen,
                    compute=self._compute,
                    deadline=self._deadline,
                )
            )
        self._note(replace(data, payments=payments), marks, runs)
        return runs.results

    def _note(self, data: Labelled, marks: Marks, runs: SecureRuns) -> None:
        plain = pooled(data, data.payments, marks)
        found = agreements(data, marks, runs.results, plain, runs.records)
        self.record.bound_used = max(self.record.bound_used, *(one.used for one in found))
        for record in runs.records.values():
            self.record.runs += 1
            self.record.seconds += record["seconds"]["total"]
            sent = record["bytes_sent"].values()
            self.record.bytes_sent += sum(bank["all_with_framing"] for bank in sent)


def write_until(place: Path, data: BankData, last: int) -> None:
    """Write a bank's payments up to the time ``last`` (microseconds) as its file of a data set."""
    place.mkdir(parents=True)
    rows = data.transactions  # noqa: F841 - DuckDB finds it by its name
    decimals = minor_units(data.base_currency)
    unit = f"CAST('{10.0**-decimals:.{decimals}f}' AS DECIMAL(10, {decimals}))"
    query = f"""
        SELECT tx_id, make_timestamp(timestamp) AS timestamp, from_bank, from_account, to_bank,
            to_account, CAST(amount AS DECIMAL(20, 0)) * {unit} AS amount, $currency AS currency
        FROM rows WHERE timestamp <= $last
    """  # noqa: S608 - a number
    with duckdb.connect() as con:
        told = {"currency": data.base_currency or "", "last": last}
        table = con.sql(query, params=told).to_arrow_table()
    pq.write_table(table, place / "transactions.parquet")
