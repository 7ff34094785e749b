"""Exact privacy of the primitives: no party's view depends on what it may not know."""

import itertools

import numpy as np
import pytest

from graph_mpc.binary import Holders, and_all, bit_to_ring, borrow_out, share_bits
from graph_mpc.context import Context
from graph_mpc.imports import draw_import_masks, receive_rows, send_rows
from graph_mpc.permutation import permute, set_up_permutation
from graph_mpc.product import multiply
from graph_mpc.ring import Ring
from graph_mpc.scaling import scale, set_up_weights
from graph_mpc.shares import Shared
from graph_mpc.sums import open_sum, sum_to_owner
from graph_mpc.truncation import truncate
from tests.graph_mpc.local import opened
from tests.graph_mpc.views import Setting, Tape, enumerate_runs, sorted_rows, tellers

ROLES = (0, 1, 2)
HOLDERS = Holders(*ROLES)
PARTIES = pytest.mark.parametrize("parties", [3, 4])


async def permute_twice(ctx: Context, tape: Tape, secret):
    """Two values under one private permutation or injection (owner 0, from helper 1 to 2)."""
    pi, *values = secret
    index = np.array(pi, np.uint32) if ctx.me == 0 else None
    p = await set_up_permutation(ctx, ("p",), ROLES, (len(values[0]), len(pi)), index)
    for use, x in enumerate(values):
        await permute(ctx, ("use", use), p, tape.share(ctx, f"x{use}", (0, 1), x))


async def scale_twice(ctx: Context, tape: Tape, secret):
    """Several values scaled by one private weight vector (owner 0, from helper 1 to 2)."""
    limbs, *values = secret
    words = np.array(limbs, np.uint64)[:, None] if ctx.me == 0 else None
    w = await set_up_weights(ctx, ("w",), ROLES, (len(limbs), 1), words)
    for use, z in enumerate(values):
        await scale(ctx, ("use", use), w, tape.share(ctx, f"z{use}", (0, 1), [z]))


async def truncate_once(ctx: Context, tape: Tape, secret):
    """One truncation by one bit (owner 0, helper 1, dealer 2)."""
    return await truncate(ctx, ("cut",), tape.share(ctx, "x", (0, 1), secret), 1)


async def multiply_once(ctx: Context, tape: Tape, secret):
    """One product."""
    x, y = (tape.share(ctx, name, (0, 1), v) for name, v in zip("xy", secret, strict=True))
    return await multiply(ctx, ("m",), x, y)


async def and_once(ctx: Context, tape: Tape, secret):
    """One word ANDed with two others, all of the ring's width."""
    x, y, z = (
        tape.xor_share(ctx, name, (0, 1), v, ctx.ring.bits)
        for name, v in zip("xyz", secret, strict=True)
    )
    return await and_all(ctx, ("a",), HOLDERS, x, [y, z])


async def bit_once(ctx: Context, tape: Tape, secret):
    """An XOR-shared bit, as a ring element."""
    bit = tape.xor_share(ctx, "bit", (0, 1), secret, 1)
    return await bit_to_ring(ctx, ("b",), HOLDERS, bit)


async def borrow_once(ctx: Context, tape: Tape, secret):
    """Whether c < r, c known to both holders."""
    public, r = secret
    c = np.full(tape.lanes, public, np.uint64) if ctx.me in (0, 1) else None
    shared = tape.xor_share(ctx, "r", (0, 1), r, ctx.ring.bits)
    return await borrow_out(ctx, ("b",), HOLDERS, c, shared, ctx.ring.bits)


async def share_bits_once(ctx: Context, tape: Tape, secret):
    """The bits of a word of the dealer, shared out."""
    r = np.full(tape.lanes, secret, np.uint64) if ctx.me == 2 else None
    return await share_bits(ctx, ("s",), HOLDERS, (tape.lanes,), r)


def hand_over(owner: int, receiver: int):
    """Return the program that hands rows of the owner to the receiver, in two columns."""

    async def program(ctx: Context, tape: Tape, secret):
        masks = draw_import_masks(ctx, ("i",), {(owner, receiver): tape.lanes}, len(secret))
        holders = (owner, ctx.roster.helpers(owner)[0])
        for column, value in enumerate(secret):
            rows = tape.share(ctx, f"y{column}", holders, value)
            send_rows(ctx, ("i", column), receiver, rows, masks, column)
            if ctx.me == receiver:
                await receive_rows(ctx, ("i", column), owner, rows)

    return program


def part_of(ctx: Context, tape: Tape, secret):
    """One party's part of a sum."""
    return np.full(tape.lanes, secret[ctx.me], np.uint64)


async def open_sum_once(ctx: Context, tape: Tape, secret):
    """The opened sum of one part of each party."""
    return await open_sum(ctx, ("s",), part_of(ctx, tape, secret))


async def sum_to_owner_once(ctx: Context, tape: Tape, secret):
    """The sum of one part of each party, shared by 0 and 1."""
    return await sum_to_owner(ctx, ("s",), part_of(ctx, tape, secret), 0, 1)


def nothing(_secret, _party):
    """No party has an input or output of its own."""
    return 0


def owner_knows_first(secret, party):
    """The owner knows the first part of the secret."""
    return secret[0] if party == 0 else 0


@PARTIES
async def test_permutation_views(parties):
    """Two uses of a private permutation show nobody the values, and no helper the permutation."""
    values = [(0, 0), (1, 3), (2, 1)]
    secrets = itertools.product(itertools.permutations(range(2)), values, values[1:])
    setting = Setting(Ring(2), parties)
    assert await tellers(permute_twice, secrets, owner_knows_first, setting) == set()


async def test_permutation_views_of_three_elements():
    """All six permutations of three elements look alike to the helpers."""
    values = [(0, 0, 0), (1, 0, 0), (0, 1, 1)]
    secrets = itertools.product(itertools.permutations(range(3)), values, values[1:])
    assert await tellers(permute_twice, secrets, owner_knows_first, Setting(Ring(1))) == set()


async def test_injection_views():
    """An injection shows the helpers neither which elements it keeps nor in what order."""
    values = [(0, 0, 0), (1, 0, 0), (0, 1, 1)]
    secrets = itertools.product(itertools.permutations(range(3), 2), values, values[1:])
    assert await tellers(permute_twice, secrets, owner_knows_first, Setting(Ring(1))) == set()


@PARTIES
async def test_scaling_views_of_one_limb(parties):
    """Two uses of one weight show nobody the values and no helper the weight."""
    secrets = itertools.product([(w,) for w in range(4)], range(4), range(4))
    assert (
        await tellers(scale_twice, secrets, owner_knows_first, Setting(Ring(2), parties)) == set()
    )


async def test_scaling_views_of_two_limbs():
    """Two limbs that share z + s are as private as one."""
    secrets = itertools.product(itertools.product(range(2), repeat=2), range(2), range(2))
    assert await tellers(scale_twice, secrets, owner_knows_first, Setting(Ring(1))) == set()


async def test_truncation_views():
    """The views of a truncation without its output do not depend on the value."""
    assert await tellers(truncate_once, (-2, 0, 1), nothing, Setting(Ring(4))) == set()


async def test_truncation_views_with_output_depend_on_the_coin_only():
    """With the result y, the holders see the coin c mod 2^f and y, and nothing else of x."""
    setting = Setting(Ring(4))
    seen = {}
    for x in (-2, -1, 0, 1):
        (run,) = await enumerate_runs(truncate_once, x, setting)
        coin = rounding_coin(run, x)
        assert np.count_nonzero(coin) * 2 == len(coin)
        y = opened(setting.ring, run.results)
        assert np.array_equal(y, (np.int64(x >> 1) + (coin < x % 2)).view(np.uint64) % 16)
        for party, side in itertools.product((0, 1), (0, 1)):
            lanes = coin == side
            rows = sorted_rows(run.views[party].columns[:, lanes], 4).tobytes()
            assert seen.setdefault((party, side, int(y[lanes][0])), rows) == rows


def rounding_coin(run, x):
    """c mod 2 of a truncation by one bit."""
    words = {label[-1]: word[0] for (_pair, label), word in run.tape.words.items()}
    c = np.uint64(x % 16) + run.tape.ring.offset + words["rb"] + words["rh"]
    return (c % 2).astype(np.int64)


@PARTIES
async def test_product_views(parties):
    """The views of a product depend on neither factor."""
    secrets = itertools.product(range(4), repeat=2)
    assert await tellers(multiply_once, secrets, nothing, Setting(Ring(2), parties)) == set()


@PARTIES
async def test_and_views(parties):
    """The views of an AND with two words depend on none of them."""
    secrets = itertools.product(range(2), repeat=3)
    assert await tellers(and_once, secrets, nothing, Setting(Ring(1), parties)) == set()


@PARTIES
async def test_bit_to_ring_views(parties):
    """The views of the conversion do not depend on the bit."""
    assert await tellers(bit_once, range(2), nothing, Setting(Ring(2), parties)) == set()


@PARTIES
async def test_share_bits_views(parties):
    """The dealer's word stays with the dealer."""

    def dealer_knows(secret, party):
        return secret if party == 2 else 0

    setting = Setting(Ring(4), parties)
    assert await tellers(share_bits_once, range(16), dealer_knows, setting) == set()


@PARTIES
async def test_borrow_views(parties):
    """The views of the borrow circuit do not depend on the shared word."""
    secrets = itertools.product(range(4), repeat=2)

    def holders_know_c(secret, party):
        return secret[0] if party in (0, 1) else 0

    assert await tellers(borrow_once, secrets, holders_know_c, Setting(Ring(2), parties)) == set()


@pytest.mark.parametrize(
    ("parties", "owner", "receiver"),
    [(m, c, b) for m in (3, 4, 5) for c in range(m) for b in range(m) if b != c],
)
async def test_import_views(parties, owner, receiver):
    """Rows handed over in two columns show nobody their values, the receiver included."""
    secrets = itertools.product(range(4), repeat=2)
    program = hand_over(owner, receiver)
    assert await tellers(program, secrets, nothing, Setting(Ring(2), parties)) == set()


@pytest.mark.parametrize(("parties", "bits"), [(3, 2), (4, 1), (5, 1)])
async def test_open_sum_views(parties, bits):
    """An opened sum shows a party its own part and the sum."""
    secrets = itertools.product(range(1 << bits), repeat=parties)

    def own_and_sum(secret, party):
        return secret[party], sum(secret) % (1 << bits)

    assert await tellers(open_sum_once, secrets, own_and_sum, Setting(Ring(bits), parties)) == set()


@pytest.mark.parametrize(("parties", "bits"), [(3, 2), (4, 1), (5, 1)])
async def test_sum_to_owner_views(parties, bits):
    """A sum that stays secret shows a party its own part only."""
    secrets = itertools.product(range(1 << bits), repeat=parties)

    def own(secret, party):
        return secret[party]

    assert await tellers(sum_to_owner_once, secrets, own, Setting(Ring(bits), parties)) == set()


@pytest.mark.parametrize(
    ("program", "secret"),
    [
        (permute_twice, ((1, 0), (1, 0), (1, 1))),
        (scale_twice, ((1,), 0, 1)),
        (multiply_once, (1, 1)),
        (and_once, (1, 1, 0)),
        (bit_once, 1),
        (borrow_once, (1, 1)),
        (share_bits_once, 1),
        (hand_over(0, 1), (1,)),
        (sum_to_owner_once, (1, 1, 1, 1)),
    ],
)
async def test_bystander_receives_nothing(program, secret):
    """A party without a role in a step gets no message (sums have no bystander)."""
    runs = await enumerate_runs(program, secret, Setting(Ring(1), 4))
    assert all(run.views[3].messages == 0 for run in runs)


async def test_shared_inputs_are_what_they_should_be():
    """The harness itself: the enumerated shares add up to the secret in every lane."""

    async def program(ctx: Context, tape: Tape, secret) -> Shared:
        return tape.share(ctx, "x", (0, 1), secret)

    (run,) = await enumerate_runs(program, [3], Setting(Ring(2)))
    assert np.all(opened(Ring(2), run.results) == 3)
    assert sorted(set(run.results[1].local.ravel().tolist())) == [0, 1, 2, 3]
