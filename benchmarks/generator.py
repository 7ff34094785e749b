"""Speed and memory of the generator and of the formats, and how realistic its payments are.

``python -m benchmarks.generator``.  Each preset is generated in a process of its own; the large one
is then exported to AMLworld's format and to CSV and read back.  Printed: payments, seconds, seconds
of processor time, peak memory of the process.

The distributions of the preset ``medium`` are drawn beside those of an AMLSim sample of the same
number of accounts, from the folder that ``UNDERCURRENT_TEST_DATA`` names, into
``docs/images/generator-realism.svg`` (``--only realism`` for this alone).
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray

from simdata.amlsim import import_amlsim
from simdata.amlworld import import_amlworld
from simdata.csv_import import import_csv
from simdata.exporting import export_amlworld, export_csv
from simdata.generator import PRESETS, build_dataset, find_preset

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "generator-realism.svg"
_DAY = 86_400.0
_SAMPLE = "20K_cycle200.tgz"

Floats = NDArray[np.float64]

# --- speed ---------------------------------------------------------------------------------------


def _steps(folder: Path) -> dict[str, Callable[[], object]]:
    """What is measured, in order; each step may use what the steps before wrote."""
    large = folder / "large"
    steps: dict[str, Callable[[], object]] = {
        f"generate {name}": lambda name=name: build_dataset(  # type: ignore[misc]
            folder / name, find_preset(name), 1
        )
        for name in PRESETS
    }
    return steps | {
        "export amlworld": lambda: export_amlworld(large, folder / "amlworld"),
        "import amlworld": lambda: import_amlworld(folder / "amlworld", folder / "from-amlworld"),
        "export csv": lambda: export_csv(large, folder / "csv"),
        "import csv": lambda: import_csv(folder / "csv", folder / "from-csv"),
    }


def _measure_one(folder: Path, step: str) -> None:
    """Run one step; print seconds, processor seconds, and the peak of this process in megabytes."""
    start = time.perf_counter()
    _steps(folder)[step]()
    seconds = time.perf_counter() - start, time.process_time()
    # Not getrusage: its peak includes that of the process which started this one.
    status = Path("/proc/self/status").read_text().split()
    print(*seconds, int(status[status.index("VmHWM:") + 1]) / 1000)


def _payments(folder: Path) -> int:
    with duckdb.connect() as con:
        files = f"{folder}/banks/*/transactions.parquet"
        found = con.execute("SELECT count(DISTINCT tx_id) FROM read_parquet(?)", [files]).fetchall()
    return int(found[0][0])


def speed() -> None:
    """Measure every step in a process of its own, and print a table."""
    print("| step | payments | seconds | of processor | peak MB |\n|---|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory(prefix="undercurrent-bench-") as name:
        folder = Path(name)
        for step in _steps(folder):
            command = [sys.executable, "-m", "benchmarks.generator", "--step", step, "--in", name]
            ended = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds, busy, peak = (float(word) for word in ended.stdout.split())
            preset = step.removeprefix("generate ") if step.startswith("generate") else "large"
            count = _payments(folder / preset)
            print(f"| {step} | {count:,} | {seconds:.1f} | {busy:.1f} | {peak:,.0f} |", flush=True)


# --- realism -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shape:
    """What is compared of a data set.

    Attributes:
        name: how the picture calls it.
        paid: numbers of accounts that each account pays.
        paying: numbers of accounts that pay each account.
        amount: amounts, as multiples of their median.
        day: share of the payments on each day of the window.
        gap: days between two payments of one account.
    """

    name: str
    paid: Floats
    paying: Floats
    amount: Floats
    day: Floats
    gap: Floats


def measure(folder: Path, name: str) -> Shape:
    """Read the distributions of a data set; cash desks are no accounts here."""
    with duckdb.connect() as con:
        con.execute(
            """CREATE TABLE p AS SELECT DISTINCT ON (tx_id) from_account AS payer,
                to_account AS payee, CAST(amount AS DOUBLE) AS amount, epoch(timestamp) AS moment
            FROM read_parquet(?) WHERE 'cash' NOT IN (from_bank, to_bank)""",
            [f"{folder}/banks/*/transactions.parquet"],
        )
        return Shape(
            name,
            _column(con, "SELECT count(DISTINCT payee) FROM p GROUP BY payer"),
            _column(con, "SELECT count(DISTINCT payer) FROM p GROUP BY payee"),
            _column(con, "SELECT amount / (SELECT median(amount) FROM p) FROM p"),
            _column(
                con,
                f"""SELECT count(*) / (SELECT count(*) FROM p) FROM p
                GROUP BY floor(moment / {_DAY}) ORDER BY floor(moment / {_DAY})""",
            ),
            _column(
                con,
                f"""SELECT gap / {_DAY} FROM (SELECT moment - lag(moment)
                    OVER (PARTITION BY payer ORDER BY moment) AS gap FROM p)
                WHERE gap IS NOT NULL""",
            ),
        )


def _column(con: duckdb.DuckDBPyConnection, query: str) -> Floats:
    (values,) = con.execute(query).fetchnumpy().values()
    return np.asarray(values, np.float64)


def realism() -> None:
    """Draw the picture and print the figures that the documentation names."""
    place = os.environ.get("UNDERCURRENT_TEST_DATA", "")
    archive = Path(place) / "amlsim" / _SAMPLE
    if not archive.is_file():
        sys.exit(f"Set UNDERCURRENT_TEST_DATA to a folder with amlsim/{_SAMPLE}")
    with tempfile.TemporaryDirectory(prefix="undercurrent-bench-") as name:
        folder = Path(name)
        build_dataset(folder / "generated", find_preset("medium"), 1)
        import_amlsim(archive, folder / "sample")
        shapes = [
            measure(folder / "generated", "generator, medium"),
            measure(folder / "sample", "AMLSim, 20K sample"),
        ]
    for shape in shapes:
        print(shape.name)
        for key, values in (("paid", shape.paid), ("paying", shape.paying), ("gap", shape.gap)):
            print(f"  {key}: {np.round(np.quantile(values, [0.1, 0.5, 0.9, 0.99, 1.0]), 2)}")
        print(f"  amount: {np.round(np.quantile(shape.amount, [0.01, 0.1, 0.9, 0.99, 1.0]), 2)}")
        print(f"  day: {np.round(100 * np.quantile(shape.day, [0.0, 0.5, 1.0]), 2)} %")
    draw(shapes)


def _tail(values: Floats) -> tuple[Floats, Floats]:
    """Share of the values that are at least x, at each x."""
    x = np.unique(values)
    below = np.searchsorted(np.sort(values), x, side="left")
    return x, 1.0 - below / len(values)


def _thin(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """At most 300 points, evenly over the order: the picture need not hold each payment."""
    keep = np.unique(np.linspace(0, len(x) - 1, 300).astype(int))
    return x[keep], y[keep]


def draw(shapes: list[Shape]) -> None:
    """Write the picture: four panels, the generator beside the sample."""
    import matplotlib as mpl  # A dependency of the benchmark only.
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "undercurrent"
    picture = Figure(figsize=(10, 7), layout="constrained")
    panels = picture.subplots(2, 2)
    for shape, colour in zip(shapes, ("tab:blue", "tab:orange"), strict=True):
        degree = panels[0, 0]
        degree.loglog(*_tail(shape.paid), color=colour, label=f"{shape.name}: accounts paid")
        degree.loglog(*_tail(shape.paying), "--", color=colour, label="paying accounts")
        panels[0, 1].loglog(*_thin(*_tail(shape.amount)), color=colour, label=shape.name)
        share = np.linspace(0, 1, len(shape.day))
        panels[1, 0].plot(share, shape.day * len(shape.day), color=colour, label=shape.name)
        panels[1, 1].loglog(*_thin(*_tail(np.maximum(shape.gap, 1e-3))), color=colour,
                            label=shape.name)  # fmt: skip
    titles = (
        ("Counterparties of an account", "accounts, at least", "share of accounts"),
        ("Amounts", "multiple of the median, at least", "share of payments"),
        ("Payments per day", "place in the window", "relative to the mean day"),
        ("Time between payments of an account", "days, at least", "share"),
    )
    for panel, (title, x, y) in zip(panels.flat, titles, strict=True):
        panel.set(title=title, xlabel=x, ylabel=y)
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8)
    panels[0, 1].set_xlim(1e-2, 1e4)
    panels[1, 1].set_xlim(1e-2, 1e2)
    picture.savefig(PICTURE, metadata={"Date": None})


def main() -> None:
    """Measure everything, or what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("speed", "realism"), help="one of the two")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--in", dest="folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        _measure_one(options.folder, options.step)
        return
    if options.only in (None, "speed"):
        speed()
    if options.only in (None, "realism"):
        realism()


if __name__ == "__main__":
    main()
