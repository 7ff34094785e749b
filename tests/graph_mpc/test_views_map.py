"""Exact privacy of the private map: preparation and application over Z_2."""

import itertools
from dataclasses import dataclass

import numpy as np
import pytest

from graph_mpc.context import Context
from graph_mpc.errors import MaskRuleViolation
from graph_mpc.layout import Entries, MapShape
from graph_mpc.linear_map import prepare_columns, set_up_map
from graph_mpc.ring import Ring
from tests.graph_mpc.local import contexts, roster_of, run_all
from tests.graph_mpc.views import Setting, Tape, affine_tellers, confusing, sample_run, without


@dataclass(frozen=True)
class Secret:
    """A private matrix with one entry, and the values that it is applied to."""

    source: int
    target: int
    weight: int
    place: tuple[int, ...]
    x: tuple[tuple[int, ...], ...]


def owner_knows_the_matrix(secret: Secret, party: int):
    """Party 0 owns the matrix."""
    return (secret.source, secret.target, secret.weight, secret.place) if party == 0 else 0


def secrets_of(shape: MapShape, x: list[tuple[tuple[int, ...], ...]]) -> list[Secret]:
    """All matrices of the shape with each of the values."""
    return [
        Secret(*matrix, values)
        for *matrix, values in itertools.product(
            range(shape.inputs),
            range(shape.outputs),
            range(2),
            itertools.product(range(shape.inputs), repeat=shape.placed),
            x,
        )
    ]


def applied(shape: MapShape):
    """Return the program: prepare and apply a column for each of the values."""

    async def program(ctx: Context, tape: Tape, secret: Secret):
        entries = None
        if ctx.me == 0:
            entries = Entries(
                np.array([secret.source]),
                np.array([secret.target]),
                np.array([[secret.weight]], np.uint64),
                np.array(secret.place, np.int64),
            )
        private_map = await set_up_map(ctx, ("map",), 0, shape, entries)
        for use, value in enumerate(secret.x):
            x = tape.share(ctx, f"x{use}", (0, 1), value)
            await _apply(ctx, tape, private_map, ("use", use), x)

    return program


async def _apply(ctx: Context, tape: Tape, private_map, label, x):
    """One column: h1 masks the inputs (and has the import masks, from the stream with 2)."""
    shape = private_map.shape
    mask = imports = None
    if ctx.me == 1:
        mask = ctx.streams.draw(2, (*label, "R"), x.shape)
        imports = ctx.streams.draw(2, (*label, "alpha"), (shape.placed, tape.lanes)).values
        ctx.network.send(0, (*label, "own"), x.local - mask.values, mask)
    inputs = mask.values if mask else None
    (product,) = await prepare_columns(ctx, label, private_map, tape.lanes, inputs, imports)
    if ctx.me == 0:
        d = x.local + await ctx.network.receive(1, (*label, "own"), x.shape)
        plain = [private_map.apply_plain(np.ascontiguousarray(c))[0] for c in d.T]
        return product.local + np.array(plain).T
    return product.local


ONE_ROW = MapShape(inputs=1, outputs=1, entries=1, placed=0, limbs=1)
TWO_OUTPUTS = MapShape(inputs=1, outputs=2, entries=1, placed=0, limbs=1)
TWO_INPUTS = MapShape(inputs=2, outputs=1, entries=1, placed=0, limbs=1)
IMPORT = MapShape(inputs=1, outputs=1, entries=1, placed=1, limbs=1)
SQUARE = MapShape(inputs=2, outputs=2, entries=1, placed=0, limbs=1)


@pytest.mark.parametrize("parties", [3, 4])
async def test_map_views_of_one_row(parties):
    """Two columns of the smallest map show nobody the values and no helper the weight."""
    secrets = secrets_of(ONE_ROW, list(itertools.product([(0,), (1,)], repeat=2)))
    setting = Setting(Ring(1), parties)
    found = await affine_tellers(applied(ONE_ROW), secrets, owner_knows_the_matrix, setting)
    assert found == set()


async def test_bystander_of_a_map_receives_nothing():
    """A fourth party has no part in the preparation and application of a map."""
    run = await sample_run(
        applied(ONE_ROW), Secret(0, 0, 1, (), ((1,),)), Setting(Ring(1), 4), 64, 0
    )
    assert run.views[3].messages == 0


async def test_map_views_hide_the_row():
    """The helpers cannot tell which of two outputs an entry reaches."""
    secrets = [Secret(0, 0, 1, (), ((0,),)), Secret(0, 1, 1, (), ((1,),))]
    assert (
        await affine_tellers(
            applied(TWO_OUTPUTS), secrets, owner_knows_the_matrix, Setting(Ring(1))
        )
        == set()
    )


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("shape", [TWO_OUTPUTS, TWO_INPUTS, SQUARE, IMPORT])
async def test_map_views_hide_source_target_and_import(shape):
    """The helpers cannot tell where an entry starts or ends, or where an import is added."""
    secrets = secrets_of(shape, [((0,) * shape.inputs,), ((1,) + (0,) * (shape.inputs - 1),)])
    assert (
        await affine_tellers(applied(shape), secrets, owner_knows_the_matrix, Setting(Ring(1)))
        == set()
    )


FAULTS = {
    "prepared column reused": (confusing(lambda label: _first_column(label)), {0}),
    "no mask of the inputs": (without("R"), {0}),
    "P1: no r": (without("P1"), {0}),
    "one r for two columns in P2": (
        confusing(lambda label: ("use", 0, *label[2:]) if label[2:] == ("P2", "r") else label),
        {0},
    ),
    "weights not masked": (without("u"), {2}),
}


def _first_column(label):
    return ("use", 0, *label[2:]) if label[0] == "use" and label[2] == "R" else label


@pytest.mark.parametrize("fault", FAULTS)
async def test_fault_in_a_map_is_seen(fault):
    """A fault planted in the preparation or application informs the party named."""
    streams, informed = FAULTS[fault]
    secrets = secrets_of(ONE_ROW, list(itertools.product([(0,), (1,)], repeat=2)))
    setting = Setting(Ring(1), streams=streams)
    found = await affine_tellers(applied(ONE_ROW), secrets, owner_knows_the_matrix, setting)
    assert found == informed


async def test_prepared_column_used_twice_raises():
    """The network refuses to send two values under one prepared column."""

    async def program(ctx: Context):
        if ctx.me == 1:
            block = ctx.streams.draw(2, ("R",), (3, 2))
            column = np.ascontiguousarray(block.values[:, 1])
            for value in range(2):
                ctx.network.send(
                    0, ("own", value), column + np.uint64(value), block.part(1, column)
                )

    with pytest.raises(MaskRuleViolation):
        await run_all(contexts(roster_of(3)), program)
