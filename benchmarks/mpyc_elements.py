"""What MPyC's own arrays cost per element: three local parties, as MPyC ships.

Run with ``python -m benchmarks.mpyc_elements -M3``; party 0 prints one line of JSON.
"""

import json
import time
from typing import Any

import numpy as np
from mpyc.runtime import mpc

ELEMENTS = 2_000


async def timed(work: Any, repeats: int = 3) -> float:
    """Return microseconds per element, the median of a few repeats."""
    seconds = []
    for _ in range(repeats):
        await mpc.barrier()
        start = time.perf_counter()
        await mpc.gather(work())
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds)) / ELEMENTS * 1e6


async def measure() -> None:
    """Time a product with truncation, a comparison and a permutation on secure arrays."""
    fixed = mpc.SecFxp(64, 24)
    await mpc.start()
    x = mpc.np_fromlist([fixed(i / 7) for i in range(ELEMENTS)])
    await mpc.gather(x)
    order = np.random.default_rng(0).permutation(ELEMENTS)
    figures = {
        "multiply_and_truncate": await timed(lambda: x * x),
        "compare": await timed(lambda: x < 100.5),
        "public_permutation": await timed(lambda: x[order]),
    }
    await mpc.shutdown()
    if mpc.pid == 0:
        print(json.dumps(figures))


mpc.run(measure())
