"""Rounds of messages, counted: each begins when nobody can go on without what was sent."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import numpy as np
import pytest

from graph_mpc.context import Context
from graph_mpc.layout import Entries
from graph_mpc.precision import FixedPoint
from graph_mpc.pull import prepare_pull, pull, pull_shapes, set_up_pull
from graph_mpc.push import prepare_push, push, push_shapes, set_up_push
from graph_mpc.shares import Shared
from tests.graph_mpc.local import contexts, roster_of, run_all

FORM = FixedPoint(20, 10, 2, 4.0)
STEPS = 3
PATIENCE = 300


class Post:
    """Delivers once nobody can go on without: what was sent until then is one round."""

    def __init__(self) -> None:
        self.rounds = 0
        self.waiting: list[tuple[Any, int, int, np.ndarray]] = []

    async def deliver(self) -> None:
        """Deliver for ever."""
        while True:
            for _ in range(PATIENCE):
                await asyncio.sleep(0)
            if self.waiting:
                self.rounds += 1
                sent, self.waiting = self.waiting, []
                for transport, peer, tag, payload in sent:
                    transport.post(peer, tag, payload)


class Delayed:
    """A transport that leaves its messages at the post."""

    def __init__(self, transport: Any, post: Post) -> None:
        self.transport, self.office = transport, post

    def post(self, peer: int, tag: int, payload: np.ndarray) -> None:
        self.office.waiting.append((self.transport, peer, tag, payload))

    def fetch(self, peer: int, tag: int, nbytes: int) -> Awaitable[np.ndarray]:
        return self.transport.fetch(peer, tag, nbytes)


async def run_counted(made: list[Context], post: Post, program: Any) -> list[Any]:
    """Run the program at all parties over the post."""
    for ctx in made:
        ctx.network._transport = Delayed(ctx.network._transport, post)
    delivering = asyncio.ensure_future(post.deliver())
    try:
        return await run_all(made, program)
    finally:
        delivering.cancel()


def entries(inputs: int, outputs: int, placed: int) -> Entries:
    """A few entries, wherever they lead."""
    return Entries(
        np.arange(3) % inputs,
        np.arange(3) % outputs,
        np.ones((2, 3), np.uint64),
        np.zeros(placed, np.int64),
    )


def start(ctx: Context, rows: dict[int, int]) -> dict[int, Shared]:
    """Shares of ones in {owner, h1}."""
    return {
        b: Shared.of_owner(
            ctx.me,
            b,
            ctx.roster.helpers(b)[0],
            (n,),
            np.ones(n, np.uint64) if ctx.me == b else None,
        )
        for b, n in rows.items()
    }


async def rounds_of_push(parties: int) -> tuple[int, int]:
    """Rounds of one preparation and of a step."""
    made, post = contexts(roster_of(parties)), Post()
    owners = made[0].roster.owners
    boundary = {(b, c): 2 for b in owners for c in owners if b != c}
    shapes = push_shapes(made[0], dict.fromkeys(owners, 4), boundary, dict.fromkeys(owners, 3), 2)

    async def program(ctx: Context) -> tuple[int, int]:
        shape = shapes[ctx.me]
        own = entries(shape.inputs, shape.outputs, shape.placed)
        system = await set_up_push(ctx, ("s",), shapes, boundary, FORM, own)
        begun = post.rounds
        block = await prepare_push(ctx, ("p",), system, STEPS)
        prepared = post.rounds
        x = start(ctx, {b: shapes[b].outputs for b in owners})
        for column in range(STEPS):
            x = await push(ctx, system, block, column, x)
        return prepared - begun, post.rounds - prepared

    counts = await run_counted(made, post, program)
    return max(c[0] for c in counts), max(c[1] for c in counts)


async def rounds_of_pull(parties: int) -> int:
    """Rounds of all steps of a pull system."""
    made, post = contexts(roster_of(parties)), Post()
    owners = made[0].roster.owners
    boundary = {(b, c): 2 for b in owners for c in owners if b != c}
    shapes = pull_shapes(made[0], dict.fromkeys(owners, 4), boundary, dict.fromkeys(owners, 3), 2)

    async def program(ctx: Context) -> int:
        shape = shapes[ctx.me]
        own = entries(shape.inputs, shape.outputs, 0)
        chosen = {c: np.array([0, -1]) for c in owners if c != ctx.me}
        system = await set_up_pull(ctx, ("s",), shapes, boundary, FORM, own, chosen)
        block = await prepare_pull(ctx, ("p",), system, STEPS)
        prepared = post.rounds
        x = start(ctx, dict.fromkeys(owners, 4))
        for column in range(STEPS):
            x = await pull(ctx, system, block, column, x)
        return post.rounds - prepared

    return max(await run_counted(made, post, program))


@pytest.mark.parametrize("parties", [3, 4, 5])
async def test_a_push_step_is_two_rounds(parties: int) -> None:
    """Masked inputs and the truncation's opening, whatever the number of parties."""
    _prepared, steps = await rounds_of_push(parties)
    assert steps == 2 * STEPS


@pytest.mark.parametrize("parties", [3, 4, 5])
async def test_a_pull_step_is_three_rounds(parties: int) -> None:
    """Masked inputs, exports, and the truncation's opening."""
    assert await rounds_of_pull(parties) == 3 * STEPS


@pytest.mark.parametrize("parties", [3, 4, 5])
async def test_a_preparation_is_two_rounds(parties: int) -> None:
    """The helpers' messages wait for nothing but the scaling, whatever the number of columns."""
    prepared, _steps = await rounds_of_push(parties)
    assert prepared == 2
