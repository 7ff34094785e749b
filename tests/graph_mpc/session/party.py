"""One party of a test session as a process: ``python -m tests.graph_mpc.session.party JSON``.

Writes one JSON line to stdout: what its program returned, or the error it ended with.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np

from graph_mpc.session import (
    Deadlines,
    Limits,
    Member,
    Session,
    SessionConfig,
    SessionError,
    open_session,
)
from graph_mpc.session.config import ENGINE_VERSION

FOREVER = 3600.0


def make_config(settings: dict[str, Any]) -> SessionConfig:
    """Return the configuration described by the test."""
    return SessionConfig(
        run_id=settings["run_id"],
        consortium=settings["consortium"],
        me=settings["me"],
        members=tuple(Member(*member) for member in settings["members"]),
        certificate=Path(settings["certificate"]),
        private_key=Path(settings["private_key"]),
        authority=Path(settings["authority"]),
        listen_fd=settings.get("listen_fd"),
        port=settings.get("port"),
        engine_version=settings.get("engine_version", ENGINE_VERSION),
        deadlines=Deadlines(**settings.get("deadlines", {})),
        limits=Limits(**settings.get("limits", {})),
    )


def others(session: Session) -> list[int]:
    """Return the indices of the other parties."""
    return [pid for pid in range(len(session.parties)) if pid != session.pid]


async def arrays(session: Session) -> Any:
    """Exchange arrays of several sizes with everybody, some awaited before they come."""
    sizes = [0, 1, 1000, 300_000]
    sums = []
    for tag, size in enumerate(sizes):
        mine = np.arange(size, dtype=np.uint64) * np.uint64(session.pid + 1)
        futures = [session.fetch(peer, tag, 8 * size) for peer in others(session)]
        for peer in others(session):
            session.post(peer, tag, mine)
        for peer, future in zip(others(session), futures, strict=True):
            got = (await future).view(np.uint64)
            expected = np.arange(size, dtype=np.uint64) * np.uint64(peer + 1)
            sums.append(bool(np.array_equal(got, expected)))
    await session.drain()
    seeds = {peer: session.seed(peer).hex() for peer in others(session)}
    sent = {pid: s.messages_sent for pid, s in session.statistics.items()}
    return {"ok": all(sums), "seeds": seeds, "sent": sent}


async def mpyc(session: Session) -> Any:
    """Compute with MPyC's secure types."""
    from mpyc.runtime import mpc

    m = len(session.parties)
    secint, secfxp = mpc.SecInt(32), mpc.SecFxp(32, 16)
    inputs = mpc.input(secint(session.pid + 1))
    total = await mpc.output(mpc.sum(inputs))
    product = await mpc.output(mpc.prod(inputs))
    compared = await mpc.output([inputs[0] < inputs[1], inputs[1] == inputs[0]])
    fixed = mpc.input(secfxp(session.pid + 0.5))
    mean = await mpc.output(mpc.statistics.mean(fixed))
    median = await mpc.output(mpc.statistics.median(inputs))
    array = mpc.input(secint.array(np.arange(6).reshape(2, 3) + session.pid))
    summed = await mpc.output(sum(array[1:], array[0]) * 2)
    positive = await mpc.output(mpc.np_sgn(array[0] - 2))
    fxp_array = mpc.input(secfxp.array(np.array([1.5, -2.25])), senders=0)
    squared = await mpc.output(fxp_array * fxp_array)
    moved = await mpc.transfer({"me": session.pid, "big": 2**100, "list": [b"x", None, 1.5]})
    from_one = await mpc.transfer(["only", 1], senders=1)
    coin = await mpc.output(mpc.random.getrandbits(secint, 8))
    return {
        "total": int(total) == m * (m + 1) // 2,
        "product": int(product) == int(np.prod(np.arange(1, m + 1))),
        "compared": [int(c) for c in compared] == [1, 0],
        "mean": abs(float(mean) - m / 2) < 0.01,
        "median": int(median) == (m + 1) // 2,
        "summed": np.array_equal(
            np.array(summed, dtype=int),
            2 * sum(np.arange(6).reshape(2, 3) + p for p in range(m)),
        ),
        "positive": np.array(positive, dtype=int).tolist() == [[-1, -1, 0], [1, 1, 1]],
        "squared": np.allclose(np.array(squared, dtype=float), [2.25, 5.0625], atol=1e-3),
        "moved": moved == [{"me": p, "big": 2**100, "list": [b"x", None, 1.5]} for p in range(m)],
        "from_one": from_one == ["only", 1],
        "coin": 0 <= int(coin) < 256,
    }


async def wait(session: Session) -> Any:
    """Await a message that nobody sends."""
    ready(session)
    return (await session.fetch(others(session)[0], 77, 8)).tolist()


async def idle(session: Session) -> Any:
    """Await nothing of any peer."""
    ready(session)
    await asyncio.sleep(FOREVER)


async def wait_mpyc(session: Session) -> Any:
    """Party 0 awaits the others in MPyC, who do not come."""
    ready(session)
    if session.pid:
        await asyncio.sleep(FOREVER)
    from mpyc.runtime import mpc

    return await mpc.transfer(1)


async def stalled(session: Session) -> Any:
    """Party 0 awaits party 1, which lives but sends nothing."""
    ready(session)
    if session.pid == 0:
        await session.fetch(1, 77, 8)
    await asyncio.sleep(FOREVER)


async def traffic(session: Session) -> Any:
    """Exchange large arrays with everybody without end."""
    ready(session)
    payload = np.zeros(1 << 22, dtype=np.uint8)
    for tag in range(1 << 30):
        futures = [session.fetch(peer, tag, payload.nbytes) for peer in others(session)]
        for peer in others(session):
            session.post(peer, tag, payload)
        await asyncio.gather(*futures)


async def count_refused(session: Session) -> Any:
    """Return how many strangers were refused."""
    return session.refused_connections


async def quit_early(session: Session) -> Any:
    """Party 0 ends the run; the others wait."""
    ready(session)
    if session.pid == 0:
        session.abort("user-request")
    await asyncio.sleep(FOREVER)


async def bug(session: Session) -> Any:
    """Party 0 has a bug in an MPyC coroutine; the others wait for its value."""
    from mpyc.runtime import mpc

    ready(session)
    secint = mpc.SecInt(32)

    @mpc.coroutine
    async def broken(x):  # type: ignore[no-untyped-def]  # MPyC would take it for a result type.
        await mpc.returnType(secint)
        await mpc.gather(x)
        if session.pid == 0:
            raise ZeroDivisionError("secret 4711")
        return x

    x = mpc.input(secint(1), senders=0)
    return int(await mpc.output(broken(x) + 1))


async def wrong_length(session: Session) -> Any:
    """Party 0 sends 16 bytes where 8 are expected, after (posted) or before (early) the fetch."""
    early = os.environ["LENGTH_CASE"] == "early"
    ready(session)
    if session.pid == 0:
        if not early:
            await asyncio.sleep(0.3)
        session.post(1, 5, np.zeros(2, dtype=np.uint64))
    elif session.pid == 1:
        if early:
            await asyncio.sleep(0.5)
        await session.fetch(0, 5, 8)
    await asyncio.sleep(FOREVER)


async def twice(session: Session) -> Any:
    """Party 0 sends one tag twice, which its own session would not let it do."""
    ready(session)
    if session.pid == 0:
        for _ in range(2):
            session._posted_tags[1].clear()
            session.post(1, 5, np.zeros(1, dtype=np.uint64))
    await asyncio.sleep(FOREVER)


async def flood(session: Session) -> Any:
    """Party 0 sends what nobody awaits."""
    ready(session)
    if session.pid == 0:
        for tag in range(64):
            session.post(1, tag, np.zeros(1 << 17, dtype=np.uint8))
    await asyncio.sleep(FOREVER)


async def backpressure(session: Session) -> Any:
    """Party 0 sends far more than the early budget; party 1 takes it slowly, and gets all."""
    if session.pid == 0:
        for tag in range(64):
            session.post(1, tag, np.full(1 << 17, tag, dtype=np.uint8))
            await session.drain(1 << 20)
    if session.pid == 1:
        await asyncio.sleep(1.5)
        for tag in range(64):
            got = await session.fetch(0, tag, 1 << 17)
            if not (got == tag).all():
                return "wrong"
    return "ok"


async def huge(session: Session) -> Any:
    """Party 0 announces a message above the limit."""
    from graph_mpc.session.frames import Kind

    ready(session)
    if session.pid == 0:
        link = session._mesh.peers[1].outgoing
        assert link is not None
        link.post(Kind.DATA_ENGINE, 9, np.zeros(4 << 20, dtype=np.uint8))
    await asyncio.sleep(FOREVER)


async def pickle_payload(session: Session) -> Any:
    """Party 0 answers a transfer with a pickle that would write a file."""
    from mpyc.runtime import mpc

    ready(session)
    if session.pid == 0:
        link = mpc.parties[1].protocol
        mpc._program_counter[0] += 1  # As the coroutine of transfer does.
        from mpyc import asyncoro

        pc = asyncoro._hop(mpc._program_counter)
        link.send(pc, bytes.fromhex(os.environ["EVIL_PICKLE"]))
        await asyncio.sleep(FOREVER)
    return await mpc.transfer("hello", senders=0)


async def slow_finish(session: Session) -> Any:
    """Party 0 finishes later than the silence timeout of the others."""
    if session.pid == 0:
        await asyncio.sleep(2.5)
    return "ok"


async def leaves(session: Session) -> Any:
    """Party 0 finishes although party 1 awaits a message of it."""
    if session.pid == 1:
        return (await session.fetch(0, 1, 8)).tolist()
    return "ok"


async def late_abort(session: Session) -> Any:
    """Party 0 finishes, party 1 does not, party 2 finishes later than party 0 gives up."""
    if session.pid == 0:
        return "ok"
    ready(session)
    await asyncio.sleep(FOREVER)
    return None


async def crash(session: Session) -> Any:
    """Party 0 has a bug of its own; the others compute in MPyC."""
    from mpyc.runtime import mpc

    if session.pid == 0:
        raise LookupError("secret 4711")
    return await mpc.transfer(1)


async def sticky(session: Session) -> Any:
    """Try everything again after a failure, then try to end well."""
    import pytest

    ready(session)
    other = 1 - session.pid
    with pytest.raises(SessionError) as first:
        await session.fetch(2, 1, 8)
    for attempt in (
        lambda: session.post(other, 1, np.zeros(1)),
        lambda: session.fetch(other, 1, 8),
        lambda: session.receive_mpyc(other, 1),
    ):
        with pytest.raises(SessionError) as again:
            attempt()
        assert again.value is first.value
    assert await session.failed is first.value
    assert session.failure is first.value
    return "a partial result"


async def overfull(session: Session) -> Any:
    """Party 0 posts without ever waiting for its queue."""
    ready(session)
    if session.pid == 0:
        for tag in range(64):
            session.post(1, tag, np.zeros(1 << 20, dtype=np.uint8))
    await asyncio.sleep(FOREVER)


async def blocked(session: Session) -> Any:
    """Party 1 computes without a pause for longer than the silence timeout."""
    if session.pid == 1:
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            sum(range(1000))
    return "ok"


def ready(session: Session) -> None:
    """Tell the test that this party is connected."""
    Path(os.environ["READY_FILE"]).write_text(session.parties[session.pid])


async def run(program: Callable[[Session], Awaitable[Any]], config: SessionConfig) -> Any:
    """Run the program in a session."""
    async with open_session(config) as session:
        return await program(session)


def open_sockets() -> int:
    """Return the number of sockets that this process has open."""
    links = [str(fd.readlink()) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]
    return sum(link.startswith("socket:") for link in links)


def main() -> int:
    """Run one party and report."""
    # A shell's background jobs ignore Ctrl-C, and so would their children, this one included.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    settings = json.loads(sys.argv[1])
    began = time.monotonic()
    report: dict[str, Any]
    try:
        report = {"result": asyncio.run(run(globals()[settings["program"]], make_config(settings)))}
    except SessionError as error:
        cause = type(error.__cause__).__name__ if error.__cause__ else None
        report = {
            "error": type(error).__name__,
            "code": error.code,
            "peer": error.peer,
            "text": str(error),
            "cause": cause,
        }
    report["threads"] = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
    report["sockets"] = open_sockets()
    report["seconds"] = time.monotonic() - began
    sys.stdout.write(json.dumps(report, default=bool) + "\n")
    return 0 if "result" in report else 1


if __name__ == "__main__":
    sys.exit(main())
