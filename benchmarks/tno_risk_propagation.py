"""The published package for joint risk propagation, on a graph of ours: its cost, and the ratio.

It has an environment of its own; the package is a dependency of this script only::

    python3 -m venv /tmp/tno
    /tmp/tno/bin/pip install tno.mpc.protocols.risk_propagation==2.3.4 \\
        'tno.mpc.encryption_schemes.utils[gmpy]<0.16'
    /tmp/tno/bin/python benchmarks/tno_risk_propagation.py --ours RUN_JSON

Three players in one process over HTTP on loopback, with the package's own 643-bit test keys: small,
so the figures flatter it (2048 bits are the least that one would use). ``--ours`` names the
``run.json`` of a ``lab run``; the ratio compares wall time per (account + edge) and iteration,
prepare and apply together.
"""

import argparse
import asyncio
import json
import time
from importlib.resources import files
from pathlib import Path

import numpy as np
from tno.mpc.communication import Pool
from tno.mpc.protocols.distributed_keygen import DistributedPaillier
from tno.mpc.protocols.risk_propagation.accounts import nodes_expected_dtype
from tno.mpc.protocols.risk_propagation.bank import transactions_expected_dtype
from tno.mpc.protocols.risk_propagation.player import Player

PLAYERS = 3


def graph(accounts: int, edges: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return each bank's accounts and payments, in the package's types."""
    rng = np.random.default_rng(1)
    bank = np.arange(accounts) % PLAYERS
    pairs = np.unique(rng.integers(0, accounts * accounts, edges))
    payer, payee = pairs // accounts, pairs % accounts
    other = payer != payee
    payer, payee = payer[other], payee[other]
    rows = np.array(
        [
            (str(s), f"local{bank[s]}", str(t), f"local{bank[t]}", a)
            for s, t, a in zip(payer, payee, rng.integers(1, 100_000, len(payer)), strict=True)
        ],
        dtype=transactions_expected_dtype,
    )
    nodes = np.array([(str(v), rng.random()) for v in range(accounts)], dtype=nodes_expected_dtype)
    return (
        [nodes[bank == b] for b in range(PLAYERS)],
        [rows[(bank[payer] == b) | (bank[payee] == b)] for b in range(PLAYERS)],
    )


def pools(base_port: int) -> list[Pool]:
    """Return one pool for each player, connected on loopback."""
    made = [Pool() for _ in range(PLAYERS)]
    for me, pool in enumerate(made):
        pool.add_http_server(addr="127.0.0.1", port=base_port + me)
        for other in range(PLAYERS):
            if other != me:
                pool.add_http_client(f"local{other}", "127.0.0.1", base_port + other)
    return made


async def measure(accounts: int, edges: int, iterations: int, base_port: int) -> dict[str, float]:
    """Run the package and return its times."""
    connected = pools(base_port)
    keys = files("tno.mpc.protocols.risk_propagation.test") / "test_data" / "keys"
    schemes = await asyncio.gather(
        *(
            DistributedPaillier.load_private_key_from_bytes(
                (keys / f"distributed_key_threshold_1_3parties_{i}.obj").read_bytes(),
                connected[i],
                False,
            )
            for i in range(PLAYERS)
        )
    )
    nodes, rows = graph(accounts, edges)
    used = len(np.unique(np.concatenate(rows)))
    players = [
        Player(f"local{i}", nodes[i], rows[i], connected[i], schemes[i]) for i in range(PLAYERS)
    ]
    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(player.run_protocol(iterations) for player in players))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    for scheme in schemes:
        scheme.shut_down()
    for pool in connected:
        await pool.shutdown()
    unit = (accounts + used) * iterations
    return {
        "accounts": accounts,
        "edges": used,
        "iterations": iterations,
        "wall_us": wall / unit * 1e6,
        "cpu_us": cpu / unit * 1e6,
    }


def main() -> None:
    """Print the package's figures and, with a run of ours, the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=300)
    parser.add_argument("--edges", type=int, default=1000)
    parser.add_argument("--iterations", type=int, default=2)
    parser.add_argument("--port", type=int, default=36100)
    parser.add_argument("--ours", type=Path)
    options = parser.parse_args()
    figures = asyncio.run(
        measure(options.accounts, options.edges, options.iterations, options.port)
    )
    if options.ours is not None:
        run = json.loads(options.ours.read_text())
        unit = sum(p["accounts"] + p["edges"] for p in run["parties"]) * run["iterations"]
        figures["ours_us"] = (run["seconds"]["prepare"] + run["seconds"]["apply"]) / unit * 1e6
        figures["ratio"] = figures["wall_us"] / figures["ours_us"]
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
