"""How long the application's pages take at a large bank.

``python -m benchmarks.pages``.  The bank of ``benchmarks.desk`` (100,000 alerts and more, 1,000,000
own accounts, 5,000,000 payments) on SQLite; each page is asked for in the process, signed in as a
supervisor, with its entry in the audit log.  Printed: median and 95th percentile in milliseconds.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.desk import Sizes, enlarge
from tests.bank_node.desk_world import FIRST, TRACE, SmallOffice, small_office
from tests.bank_node.web.conftest import visitor

WARM = 2


async def measure(made: SmallOffice, calls: int) -> None:
    """Ask for each page again and again, and print how long it took."""
    async with visitor(made) as sue:
        await sue.sign_in("sue")
        pages = {
            "home": ["/"],
            "alerts": ["/alerts"],
            "alerts, filtered": ["/alerts?status=in-case&severity=high"],
            "alerts, by strength": ["/alerts?order=strength"],
            "an alert": [f"/alerts/{1000 * n + 1}" for n in range(1, 20)],
            "cases": ["/cases"],
            "a case": [f"/cases/{1000 * n + 1}" for n in range(1, 20)],
            "an account": [f"/account?id=NL{97 * n:016}" for n in range(1, 20)],
            "traces": ["/traces"],
            "a trace": [f"/traces/{TRACE}"],
            "runs": ["/runs"],
            "a run": [f"/runs/{FIRST}"],
            "audit": ["/audit"],
            "operation": ["/operation"],
        }
        print("| page | median | 95th percentile |\n|---|---:|---:|")
        for name, paths in pages.items():
            took = []
            for turn in range(calls + WARM):
                start = time.perf_counter()
                answer = await sue.get(paths[turn % len(paths)])
                took.append(1000 * (time.perf_counter() - start))
                if answer.status_code != 200:
                    raise RuntimeError(f"{name}: {answer.status_code}")
            told = statistics.median(took[WARM:]), np.percentile(took[WARM:], 95)
            print(f"| {name} | {told[0]:.0f} | {told[1]:.0f} |", flush=True)


def main() -> None:
    """Set the bank up and measure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--accounts", type=int, default=1_000_000)
    parser.add_argument("--payments", type=int, default=5_000_000)
    parser.add_argument("--alerts", type=int, default=100_000)
    parser.add_argument("--calls", type=int, default=15)
    sizes = Sizes(**vars(parser.parse_args()))
    with tempfile.TemporaryDirectory() as folder:
        made = small_office(f"sqlite:///{folder}/node.db", Path(folder))
        office = enlarge(made, sizes)
        asyncio.run(measure(replace(made, office=office, desk=office.desk), sizes.calls))
        made.close()


if __name__ == "__main__":
    main()
