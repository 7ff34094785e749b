"""Streams, labels, network, roster, padding, precision and sums."""

import asyncio
import importlib
import pkgutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import flow_tracing
import graph_mpc
import pagerank
from graph_mpc.errors import (
    EngineError,
    LabelReused,
    MaskRuleViolation,
    Overflow,
    ParameterError,
    TooFewParties,
)
from graph_mpc.labels import encode_label, message_tag
from graph_mpc.network import Network
from graph_mpc.padding import padded_size
from graph_mpc.precision import FixedPoint, choose_fixed_point, parse_precision
from graph_mpc.ring import RING64, Ring, decode, encode
from graph_mpc.roster import Roster
from graph_mpc.shares import Shared
from graph_mpc.streams import SeededStreams, sort_to_permutation
from graph_mpc.sums import held_sum, open_sum, sum_to_owner
from tests.graph_mpc.local import opened, roster_of, run_all
from tests.graph_mpc.seeded import EXTREMES, seeded_contexts, shared, words

LABELS = st.lists(st.integers(-(2**31), 2**31) | st.text(max_size=4), max_size=4).map(tuple)


def two_streams(run: tuple[str, str] = ("run", "run"), ring: Ring = RING64):
    """The streams of parties 0 and 1."""
    seed = bytes(range(32))
    return SeededStreams(0, {1: seed}, run[0], ring), SeededStreams(1, {0: seed}, run[1], ring)


@settings(max_examples=50, deadline=None)
@given(LABELS, st.lists(st.integers(0, 5), max_size=3).map(tuple))
def test_streams_agree(label, shape):
    """Both parties draw the same words under one label, whatever the shape."""
    first, second = two_streams()
    a, b = first.draw(1, label, shape), second.draw(0, label, shape)
    assert a.pair == b.pair == (0, 1)
    assert a.values.shape == shape
    assert np.array_equal(a.values, b.values)


@settings(max_examples=50, deadline=None)
@given(LABELS, LABELS)
def test_streams_of_different_labels_differ(first, second):
    """Two labels, or two runs, or two pairs, never give the same words."""
    stream, other_run = two_streams(("run", "other"))
    words_of_first = stream.draw(1, first, (4,)).values
    if first != second:
        assert not np.array_equal(words_of_first, stream.draw(1, second, (4,)).values)
    assert not np.array_equal(words_of_first, other_run.draw(0, first, (4,)).values)
    assert not np.array_equal(words_of_first, stream.own(first, (4,)))


@pytest.mark.parametrize("again", ["draw", "permutation", "key", "own"])
def test_stream_label_used_twice_raises(again):
    """A stream label serves once, in whatever form it is drawn."""
    stream, _ = two_streams()
    draws = {
        "draw": lambda: stream.draw(1, ("x",), (2,)),
        "permutation": lambda: stream.permutation(1, ("x",), 3),
        "key": lambda: stream.key(1, ("x",)),
        "own": lambda: stream.own(("x",), (2,)),
    }
    draws[again]()
    with pytest.raises(LabelReused):
        draws[again]()


def test_stream_of_several_blocks():
    """A stream longer than the generator's buffer does not repeat, and a longer draw extends it."""
    stream, other = two_streams()
    long = stream.draw(1, ("x",), (100_000,)).values
    assert len(np.unique(long)) == len(long)
    assert np.array_equal(other.draw(0, ("x",), (10,)).values, long[:10])


def test_stream_of_a_small_ring_is_reduced():
    """Words of a small ring stay in it and take all its values."""
    stream, _ = two_streams(ring=Ring(2))
    assert set(stream.draw(1, ("x",), (1000,)).values.tolist()) == {0, 1, 2, 3}


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 200))
def test_stream_permutation(size):
    """Both parties draw the same permutation."""
    first, second = two_streams()
    p = first.permutation(1, ("p",), size)
    assert p.dtype == np.uint32
    assert sorted(p.tolist()) == list(range(size))
    assert np.array_equal(p, second.permutation(0, ("p",), size))


def test_keys_with_a_tie_give_no_permutation():
    """Equal keys are rejected, so that every permutation is equally likely."""
    assert sort_to_permutation(np.array([3, 1, 3], np.uint64)) is None
    assert sort_to_permutation(np.array([3, 1, 2], np.uint64)).tolist() == [1, 2, 0]
    assert sort_to_permutation(np.zeros(0, np.uint64)).tolist() == []


def test_tied_keys_are_drawn_again():
    """Both parties draw the keys again after a tie: small rings have many."""
    for size in (2, 3):
        for label in range(20):
            first, second = two_streams(ring=Ring(4))
            p = first.permutation(1, (label,), size)
            assert np.array_equal(p, second.permutation(0, (label,), size))
            assert sorted(p.tolist()) == list(range(size))


def test_stream_words_are_balanced():
    """Every bit of the words is set about half of the time."""
    stream, _ = two_streams()
    values = stream.draw(1, ("x",), (1 << 14,)).values
    ones = [int(np.count_nonzero(values >> np.uint64(bit) & np.uint64(1))) for bit in range(64)]
    assert all(abs(count - (1 << 13)) < 5 * 64 for count in ones)


@settings(max_examples=100, deadline=None)
@given(LABELS, LABELS)
def test_labels_are_encoded_uniquely(first, second):
    """Two labels have one encoding only if they are one label; tags are 63-bit."""
    assert (encode_label(first) == encode_label(second)) == (first == second)
    assert 0 <= message_tag(first) < 2**63
    assert (message_tag(first) == message_tag(second)) == (first == second)


class Posted:
    """A transport that keeps what it is given."""

    def __init__(self) -> None:
        self.posts: list[tuple[int, int, np.ndarray]] = []

    def post(self, peer, tag, payload) -> None:
        self.posts.append((peer, tag, payload))

    def fetch(self, peer, tag, nbytes):
        raise NotImplementedError


def sender(ring: Ring = RING64) -> tuple[Network, SeededStreams, Posted]:
    """Party 0 of three."""
    posted = Posted()
    streams = SeededStreams(0, {1: bytes(32), 2: bytes(31) + b"1"}, "run", ring)
    return Network(0, 3, posted, ring), streams, posted


def test_mask_that_the_receiver_knows_is_refused():
    """A mask from the stream with the receiver hides nothing."""
    network, streams, _ = sender()
    mask = streams.draw(1, ("r",), (2,))
    with pytest.raises(MaskRuleViolation, match="stream of"):
        network.send(1, ("m",), np.zeros(2, np.uint64), mask)


def test_mask_of_two_others_is_refused():
    """A mask from a stream of two other parties cannot be the sender's."""
    network, streams, _ = sender()
    mask = streams.draw(2, ("r",), (2,))
    foreign = type(mask)((1, 2), ("r",), mask.values)
    for to in (1, 2):
        with pytest.raises(MaskRuleViolation):
            network.send(to, ("m",), np.zeros(2, np.uint64), foreign)


@pytest.mark.parametrize("shape", [(3,), (1,), (2, 1), (1, 2)])
def test_mask_of_another_shape_is_refused(shape):
    """A mask must hide every word of the message."""
    network, streams, _ = sender()
    mask = streams.draw(2, ("r",), (2,))
    with pytest.raises(MaskRuleViolation, match="shape"):
        network.send(1, ("m",), np.zeros(shape, np.uint64), mask)


def test_mask_used_twice_is_refused():
    """One mask hides one message to a receiver; its parts count one by one."""
    network, streams, _ = sender()
    mask = streams.draw(2, ("r",), (2,))
    network.send(1, ("m",), mask.values, mask)
    with pytest.raises(MaskRuleViolation, match="another message"):
        network.send(1, ("n",), mask.values, mask)
    block = streams.draw(2, ("s",), (2, 2))
    for column in range(2):
        part = block.part(column, block.values[:, column])
        network.send(1, ("part", column), part.values, part)
    with pytest.raises(MaskRuleViolation, match="another message"):
        network.send(1, ("part", 2), part.values, part)


def test_block_and_its_part_are_one_mask():
    """A mask that went out as a block does not hide a message as a part as well."""
    network, streams, _ = sender()
    block = streams.draw(2, ("s",), (2, 2))
    network.send(1, ("block",), block.values, block)
    part = block.part(0, block.values[:, 0])
    with pytest.raises(MaskRuleViolation):
        network.send(1, ("part",), part.values, part)


@pytest.mark.parametrize("owners", [(3,), (-1,), (0, 0), (1, 0)])
def test_owners_that_are_no_parties_are_refused(owners):
    """Owners are numbers of parties, ascending, each once."""
    with pytest.raises(ParameterError):
        Roster(("a", "b", "c"), owners)


def test_message_label_used_twice_is_refused():
    """A label serves for one message to a receiver, whatever kind of message it is."""
    network, streams, _ = sender()
    network.send_permutation(1, ("m",), np.zeros(1, np.uint32))
    network.release(2, ("m",), np.zeros(1, np.uint64))
    with pytest.raises(LabelReused):
        network.release(1, ("m",), np.zeros(1, np.uint64))
    mask = streams.draw(2, ("r",), (1,))
    with pytest.raises(LabelReused):
        network.send(1, ("m",), mask.values, mask)


def test_words_are_reduced_before_they_leave():
    """Bits above the ring would show carries of the sender's arithmetic."""
    network, streams, posted = sender(Ring(4))
    mask = streams.draw(2, ("r",), (1,))
    network.send(1, ("m",), np.array([0xFF3], np.uint64), mask)
    network.release(1, ("r",), np.array([0xFF4], np.uint64))
    network.open_masked_sum(("s",), np.array([0xFF5], np.uint64))
    assert [int(payload[0]) for _, _, payload in posted.posts] == [3, 4, 5, 5]


def test_transcript_has_shapes_only():
    """The transcript lists phase, receiver, label and size of every message."""
    network, streams, _ = sender()
    mask = streams.draw(2, ("r",), (4,))
    network.send(1, ("m",), mask.values, mask)
    network.phase = "apply"
    network.publish(("n",), np.zeros(2, np.int64))
    listed = [(s.phase, s.to, s.label, s.nbytes) for s in network.transcript]
    expected = [("setup", 1, ("m",), 32), ("apply", 1, ("n",), 16), ("apply", 2, ("n",), 16)]
    assert listed == expected
    assert network.count() == ({"setup": 32, "apply": 32}, {"setup": 1, "apply": 2})


async def test_published_sizes_reach_everybody():
    """Every party gets every party's array, its own included."""

    async def program(ctx):
        return await ctx.network.gather_published(("n",), np.array([ctx.me, 7], np.int64))

    for values in await run_all(seeded_contexts(roster_of(4), 0), program):
        assert {p: v.tolist() for p, v in values.items()} == {p: [p, 7] for p in range(4)}


@pytest.mark.parametrize("ids", [(), ("a",), ("a", "b")])
def test_fewer_than_three_parties_are_refused(ids):
    """Without an honest majority there is no run."""
    with pytest.raises(TooFewParties, match="no honest majority"):
        Roster(ids, tuple(range(len(ids))))


def test_roster_without_owners_or_with_equal_ids_is_refused():
    """Ids are unique, and somebody has data."""
    with pytest.raises(ParameterError):
        Roster(("a", "b", "b"), (0,))
    with pytest.raises(ParameterError):
        Roster(("a", "b", "c"), ())


@pytest.mark.parametrize("parties", [3, 4, 5, 8])
def test_helpers_and_third_parties(parties):
    """Helpers are two others, spread evenly; the third party of a pair is neither of it."""
    roster = roster_of(parties)
    load = [0] * parties
    for owner in range(parties):
        h1, h2 = roster.helpers(owner)
        assert len({owner, h1, h2}) == 3
        load[h1] += 1
        load[h2] += 1
        for other in range(parties):
            if other != owner:
                assert roster.third(owner, other) not in (owner, other)
                assert roster.third(owner, other) == roster.third(other, owner)
    assert load == [2] * parties


@settings(deadline=None)
@given(st.integers(0, 10**7), st.integers(0, 10**7))
def test_padding_is_a_grid(first, second):
    """Padded sizes cover, keep order, are their own padding, and waste about 10 %."""
    padded = padded_size(first)
    assert padded >= max(first, 8)
    assert padded_size(padded) == padded
    assert padded <= max(8, first + 1, 1.1 * first + 1)
    if first <= second:
        assert padded <= padded_size(second)


@settings(max_examples=300, deadline=None)
@given(st.floats(1e-3, 1e15), st.sampled_from([1, 2]), st.floats(1e-3, 1.0))
def test_fixed_point_fits_or_is_refused(bound, limbs, floor):
    """A chosen format keeps every truncated value within 2^61, and its promise."""
    try:
        form = choose_fixed_point(bound, limbs, floor)
    except Overflow:
        return
    assert max(bound, 1.0) * 2.0 ** (form.value_bits + form.weight_bits) <= 2.0**61
    assert 2 * form.weight_bits <= 61
    assert all(0 < shift < 62 for shift in form.shifts)
    assert form.limbs == limbs
    if limbs == 2:
        assert form.relative_error(floor) <= 1e-4


@pytest.mark.parametrize(("bound", "limbs"), [(2.0**60, 2), (2.0**46, 1), (2.0**80, 2)])
def test_bound_that_cannot_fit_is_refused(bound, limbs):
    """Too large a bound is refused before the run."""
    with pytest.raises(Overflow):
        choose_fixed_point(bound, limbs, 0.15)


@pytest.mark.parametrize("accounts", [1, 20, 20_000, 1_000_000])
def test_usual_sizes_fit(accounts):
    """Up to a million accounts, the proven bound of two limbs is within 2e-5 of each score."""
    assert choose_fixed_point(accounts, 2, 0.15).relative_error(0.15) < 2e-5
    choose_fixed_point(accounts, 1, 0.15)


def test_precision_names():
    """``high`` is two limbs, ``standard`` one, anything else an error."""
    assert (parse_precision("high"), parse_precision("standard")) == (2, 1)
    with pytest.raises(ParameterError):
        parse_precision("low")
    assert FixedPoint(20, 10, 2, 1.0).shifts == (10, 20)


@settings(deadline=None)
@given(st.floats(-1e6, 1e6), st.integers(0, 40))
def test_fixed_point_numbers(value, bits):
    """Encoding rounds to the nearest multiple of 2^-f, negative numbers included."""
    result = decode(encode(np.array([value]), bits), bits)[0]
    assert abs(result - value) <= 2.0 ** -(bits + 1)


def test_small_ring():
    """A ring of 4 bits reduces, and knows its top bit and offset."""
    ring = Ring(4)
    values = np.array([0x17, 0x1F], np.uint64)
    assert ring.reduce(values).tolist() == [7, 15]
    assert ring.top_bit(values).tolist() == [0, 1]
    assert int(ring.offset) == 4


@pytest.mark.parametrize("parties", [3, 4, 5])
@pytest.mark.parametrize("owner", [0, 2])
async def test_sums(parties, owner):
    """An opened sum and a sum at an owner are right, extreme values included."""
    parts = words([[x, -3 * x, p] for p, x in enumerate(EXTREMES[:parties])])

    async def program(ctx):
        helper = ctx.roster.helpers(owner)[0]
        total = await open_sum(ctx, ("open",), parts[ctx.me])
        return total, await sum_to_owner(ctx, ("held",), parts[ctx.me], owner, helper)

    results = await run_all(seeded_contexts(roster_of(parties), 1), program)
    expected = parts.sum(axis=0, dtype=np.uint64)
    assert all(np.array_equal(total, expected) for total, _ in results)
    assert np.array_equal(opened(RING64, [r[1] for r in results]), expected)


async def test_held_sum():
    """The parties' held sums add up to the sum of all shared values."""

    async def program(ctx):
        values = [shared(ctx, (0, 1), words([1, 2])), shared(ctx, (2, 0), words([-7]))]
        return held_sum(values)

    parts = await run_all(seeded_contexts(roster_of(3), 1), program)
    assert int(np.sum(parts, dtype=np.uint64)) == 2**64 - 4


def test_shared_arithmetic():
    """Sums, owned values and rows are free; values of different holders do not mix."""
    parties = seeded_contexts(roster_of(3), 1)

    def program(ctx):
        x = shared(ctx, (0, 2), words([1, 2, 3]))
        y = Shared.of_owner(ctx.me, 0, 2, (3,), words([10, 20, 30]) if ctx.me == 0 else None)
        z = Shared.of_helper(ctx.me, 0, 2, (3,), words([5, 5, 5]) if ctx.me == 2 else None)
        return (x + y + z).add_owned(ctx.me, words([1, 0, 0]) if ctx.me == 0 else None).rows(0, 2)

    assert opened(RING64, [program(ctx) for ctx in parties]).tolist() == [17, 27]
    with pytest.raises(ValueError, match="same parties"):
        shared(parties[0], (0, 1), words([1])) + shared(parties[0], (0, 2), words([1]))


def test_errors_have_codes_and_remedies():
    """Every error of the engine has its own code; its text is cause, then remedy."""
    kinds = EngineError.__subclasses__()
    codes = [kind.code for kind in kinds]
    assert len(set(codes)) == len(kinds)
    assert "engine.error" not in codes
    assert str(Overflow("too big", "shrink it")) == "too big; shrink it"


@pytest.mark.parametrize("package", [flow_tracing, graph_mpc, pagerank], ids=lambda p: p.__name__)
def test_export_lists(package):
    """Every module of the engine and of the analyses lists its public names, and has them."""
    names = [m.name for m in pkgutil.iter_modules(package.__path__) if m.name != "session"]
    for name in names:
        module = importlib.import_module(f"{package.__name__}.{name}")
        assert module.__all__, name
        assert list(module.__all__) == sorted(set(module.__all__), key=export_order), name
        assert all(hasattr(module, public) for public in module.__all__), name


def export_order(name: str) -> tuple[int, str]:
    """Constants, classes, functions, each in alphabetical order (ruff's order)."""
    kind = 0 if name.isupper() else 1 if name[0].isupper() else 2
    return kind, name


async def test_open_sum_twice_under_one_label_raises():
    """A step repeated under its label is stopped at the stream, before anything leaves."""

    async def program(ctx):
        await open_sum(ctx, ("s",), words([1]))
        await open_sum(ctx, ("s",), words([1]))

    with pytest.raises(LabelReused):
        await asyncio.wait_for(run_all(seeded_contexts(roster_of(3), 0), program), 10)
