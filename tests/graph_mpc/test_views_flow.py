"""Exact privacy of totals, private masks in front of a product, and what is kept."""

import itertools

import numpy as np
import pytest

from graph_mpc.absorption import absorb, absorbed_sums, send_masked_shares, set_up_masks
from graph_mpc.context import Context
from graph_mpc.flow_preparation import _kept_product
from graph_mpc.imports import ImportMasks
from graph_mpc.placement import Total, add_imports, draw_share
from graph_mpc.ring import Ring
from graph_mpc.scaling import set_up_weights
from tests.graph_mpc.local import opened
from tests.graph_mpc.views import Setting, Tape, confusing, enumerate_runs, tellers, without

NO_IMPORTS = ImportMasks({}, {}, 0)
SECRETS = list(itertools.product(range(2), repeat=3))


async def masks_of(ctx: Context, tape: Tape, w: int):
    """One mask of one vertex at owner 0, for as many columns as there are lanes."""
    lanes = np.arange(tape.lanes)
    passed = np.array([[bool(w)]]) if ctx.me == 0 else None
    return await set_up_masks(ctx, ("m",), 0, (1, 1), (0 * lanes, lanes), passed)


async def total_of(ctx: Context, tape: Tape, use: int, value: int):
    """A total of the owner's, without imports, and the first helper's share of it."""
    own = tape.share(ctx, f"x{use}", (0, 1), [value])
    placed = tape.share(ctx, f"placed{use}", (0, 1), [0])
    share = draw_share(ctx, ("use", use), 0, own.shape)
    total = Total(placed, share, np.zeros(0, np.int64))
    return await add_imports(ctx, ("use", use), total, own, {}, NO_IMPORTS, 0), share


async def absorb_twice(ctx: Context, tape: Tape, secret):
    """Two totals behind one mask: two hops of a trace."""
    w, *values = secret
    masks = await masks_of(ctx, tape, w)
    for use, value in enumerate(values):
        x, share = await total_of(ctx, tape, use, value)
        fresh = None
        if ctx.me in (1, 2):
            fresh = ctx.streams.draw(3 - ctx.me, ("use", use, "R"), x.shape)
        send_masked_shares(ctx, ("use", use), masks, share, fresh)
        z = await absorb(ctx, ("use", use), masks, x, fresh)
    return z


async def sum_once(ctx: Context, tape: Tape, secret):
    """What the mask holds back, summed."""
    w, value, _ = secret
    masks = await masks_of(ctx, tape, w)
    x, share = await total_of(ctx, tape, 0, value)
    return await absorbed_sums(ctx, ("s",), masks, x, None if share is None else share.values)


async def keep_once(ctx: Context, tape: Tape, secret):
    """The prepared product of a kept share and a mask that both helpers know."""
    words = np.array([[secret]], np.uint64) if ctx.me == 0 else None
    weights = await set_up_weights(ctx, ("w",), (0, 2, 1), (1, 1), words)
    r = None
    if ctx.me in (1, 2):
        r = ctx.streams.draw(3 - ctx.me, ("r",), (1, tape.lanes)).values
    return await _kept_product(ctx, ("k",), weights, r, (1, 1, tape.lanes))


def owner_knows_mask(secret, party):
    """The owner knows which vertex is a source; nobody may know anything else."""
    return secret[0] if party == 0 else 0


def owner_knows_share(secret, party):
    """The owner knows the share that it keeps."""
    return secret if party == 0 else 0


def first_use(name: str):
    """Give the mask ``name`` of the second use the words of the first."""
    return confusing(lambda label: ("use", 0, *label[2:]) if name in label else label)


@pytest.mark.parametrize("parties", [3, 4])
async def test_absorption_views(parties):
    """Two uses of a mask show nobody the values, and the helpers nothing of the mask."""
    setting = Setting(Ring(1), parties)
    assert await tellers(absorb_twice, SECRETS, owner_knows_mask, setting) == set()


async def test_absorption_is_right():
    """The shares add up to w x, in every lane."""
    for secret in SECRETS:
        for run in await enumerate_runs(absorb_twice, secret, Setting(Ring(1))):
            assert np.all(opened(Ring(1), run.results) == secret[0] * secret[2])


@pytest.mark.parametrize(
    ("streams", "informed"),
    [
        (without("R"), {0}),
        (without("T"), {0}),
        (without("k"), {0}),
        (without("u"), {1}),
        (first_use("T"), {0}),
        (first_use("R"), {0}),
    ],
    ids=["no R", "no T", "no k", "no u", "T of the first use", "R of the first use"],
)
async def test_absorption_faults_are_seen(streams, informed):
    """A mask that is missing or used twice informs the party that it should hide things from."""
    setting = Setting(Ring(1), streams=streams)
    assert await tellers(absorb_twice, SECRETS, owner_knows_mask, setting) == informed


async def test_share_as_prepared_mask_is_seen():
    """With R = T the owner would see what arrives at its sources: R must be fresh."""
    same = confusing(lambda label: (*label[:2], "T", 0) if label[-1] == "R" else label)
    setting = Setting(Ring(1), streams=same)
    assert await tellers(absorb_twice, SECRETS, owner_knows_mask, setting) == {0}


async def test_sums_of_what_is_held_back():
    """The sum is right and shows nobody anything."""
    for secret in SECRETS:
        for run in await enumerate_runs(sum_once, secret, Setting(Ring(1))):
            assert np.all(opened(Ring(1), run.results) == (1 - secret[0]) * secret[1])
    assert await tellers(sum_once, SECRETS, owner_knows_mask, Setting(Ring(1))) == set()


async def test_sum_without_its_mask_is_seen():
    """Without kappa the owner sees u T, and so T wherever u is not 0."""
    setting = Setting(Ring(1), streams=without("kappa"))
    assert await tellers(sum_once, SECRETS, owner_knows_mask, setting) == {0}


async def test_kept_views():
    """What is kept shows the helpers nothing of the share, and the owner nothing of r."""
    assert await tellers(keep_once, range(4), owner_knows_share, Setting(Ring(2))) == set()


@pytest.mark.parametrize(("mask", "informed"), [("u", {1}), ("rho", {0})])
async def test_kept_faults_are_seen(mask, informed):
    """Without u the first helper sees the share; without rho the owner's view holds u r."""

    async def with_r(ctx: Context, tape: Tape, secret):
        share, value = secret
        kept = await keep_once(ctx, tape, share)
        # The owner also sees a value masked by r, as it does in a hop.
        if ctx.me == 1:
            r = ctx.streams.tape.words[(1, 2), ("r",)].reshape(1, -1)
            ctx.network.release(0, ("masked",), np.uint64(value) - r)
        elif ctx.me == 0:
            await ctx.network.receive(1, ("masked",), (1, tape.lanes))
        return kept

    secrets = list(itertools.product(range(2), repeat=2))
    setting = Setting(Ring(1), streams=without(mask))
    assert informed <= await tellers(with_r, secrets, owner_knows_mask, setting)
