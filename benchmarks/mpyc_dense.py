"""Secure PageRank in plain MPyC, to compare: a dense secret matrix of SecFxp, three parties.

Run with ``python -m benchmarks.mpyc_dense -M3``; party 0 prints one line of JSON.  Without a graph
engine nothing hides where a sparse matrix has its non-zeros, so the whole matrix is secret and
every product is dense.
"""

import json
import time

import numpy as np
from mpyc.runtime import mpc

ACCOUNTS, EDGES, ITERATIONS = 100, 500, 3


def matrix() -> np.ndarray:
    """Return the damped payment matrix of a random graph, dense."""
    rng = np.random.default_rng(1)
    dense = np.zeros((ACCOUNTS, ACCOUNTS))
    pairs = rng.choice(ACCOUNTS * ACCOUNTS, EDGES, replace=False)
    dense.reshape(-1)[pairs] = rng.lognormal(8, 2.5, EDGES)
    total = dense.sum(axis=0)
    return 0.85 * np.divide(dense, total, out=np.zeros_like(dense), where=total > 0)


async def measure() -> None:
    """Time a few iterations of z <- A z + 0.15."""
    fixed = mpc.SecFxp(64, 32)
    plain = matrix()
    await mpc.start()
    secret = mpc.input(fixed.array(plain), senders=0)
    z = mpc.input(fixed.array(np.ones((ACCOUNTS, 1))), senders=0)
    await mpc.gather(secret, z)
    start = time.perf_counter()
    for _ in range(ITERATIONS):
        z = mpc.np_matmul(secret, z) + fixed.array(np.full((ACCOUNTS, 1), 0.15))
        await mpc.gather(z)
    seconds = time.perf_counter() - start
    scores = np.array([float(v) for v in (await mpc.output(z)).reshape(-1)])
    expected = np.ones(ACCOUNTS)
    for _ in range(ITERATIONS):
        expected = plain @ expected + 0.15
    await mpc.shutdown()
    if mpc.pid == 0:
        unit = (ACCOUNTS + EDGES) * ITERATIONS
        error = float(np.max(np.abs(scores - expected) / expected))
        print(
            json.dumps(
                {
                    "accounts": ACCOUNTS,
                    "edges": EDGES,
                    "us_per_account_and_edge": seconds / unit * 1e6,
                    "worst_relative_error": error,
                }
            )
        )


mpc.run(measure())
