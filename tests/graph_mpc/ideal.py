"""The ideal functionality of secure PageRank: what a trusted party computes and hands out.

It has every bank's input, so it may do in plain and exactly what the engine does under shares: the
same fixed point, with the offset of every truncation given from outside (``offset``).  What each
party is told is ``knowledge_of``: its outputs, public sizes, and of the truncations the offsets at
the dealer and the coins at the two holders (see ``tests.graph_mpc.simulator``).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from graph_mpc.labels import Label
from graph_mpc.layout import Entries, MapShape
from graph_mpc.padding import padded_size
from graph_mpc.precision import FixedPoint, choose_fixed_point, parse_precision
from graph_mpc.reconcile import neighbour_of_edges, vertex_keys
from graph_mpc.ring import decode, encode
from graph_mpc.roster import Roster
from pagerank import PageRankParameters
from pagerank.entries import PaymentMatrix, pad_entries, payment_matrix
from tests.graph_mpc.graphs import Payments, split
from tests.graph_mpc.local import roster_of
from tests.graph_mpc.simulator import Knowledge, low_bits, shifts_of

Offsets = Callable[[Label, tuple[int, ...], np.ndarray], np.ndarray]


@dataclass(frozen=True)
class World:
    """The inputs of all parties."""

    payments: Payments
    parties: int
    owners: int
    parameters: PageRankParameters
    omit: frozenset[tuple[int, int]] = frozenset()

    @property
    def roster(self) -> Roster:
        """All parties; the first ones are banks."""
        return roster_of(self.parties, self.owners)

    def graphs(self) -> list[Any]:
        """Return each bank's part."""
        return split(self.payments, self.owners, set(self.omit))

    def risk(self, owner: int) -> np.ndarray:
        """Return the risk scores of a bank's accounts."""
        count = int(np.count_nonzero(self.payments.bank == owner))
        return np.random.default_rng(owner).uniform(0.05, 1, count)


@dataclass
class Ideal:
    """All that the trusted party knows at the end."""

    world: World
    form: FixedPoint
    accounts: int = 0
    published: dict[Label, dict[int, np.ndarray]] = field(default_factory=dict)
    shapes: dict[int, MapShape] = field(default_factory=dict)
    answers: dict[tuple[int, Label], tuple[np.ndarray, int]] = field(default_factory=dict)
    matches: dict[Label, int] = field(default_factory=dict)
    offsets: dict[Label, np.ndarray] = field(default_factory=dict)
    coins: dict[Label, np.ndarray] = field(default_factory=dict)
    released: dict[int, np.ndarray] = field(default_factory=dict)

    def scores(self, owner: int) -> np.ndarray:
        """Return a bank's scores as it reads them."""
        count = int(np.count_nonzero(self.world.payments.bank == owner))
        words = self.released[owner][:count]
        return np.maximum(decode(words, self.form.value_bits) / self.accounts, 0.0)


def uniform_offsets(rng: np.random.Generator) -> Offsets:
    """Return the offsets of the ideal functionality: uniform below 2^shift."""

    def draw(_label: Label, shape: tuple[int, ...], shifts: np.ndarray) -> np.ndarray:
        return rng.integers(0, 2**64, shape, np.uint64) & low_bits(shifts)

    return draw


def ideal_pagerank(world: World, offset: Offsets) -> Ideal:
    """Compute PageRank as the engine promises to, with the given offsets."""
    graphs, parameters = world.graphs(), world.parameters
    accounts = sum(graph.vertices for graph in graphs)
    limbs = parse_precision(parameters.precision)
    form = choose_fixed_point(accounts, limbs, 1 - parameters.alpha)
    ideal = Ideal(world, form, accounts)
    matched = _reconcile(ideal, graphs)
    matrices = [
        payment_matrix(graph, kept, parameters.weight, parameters.alpha)
        for graph, kept in zip(graphs, matched, strict=True)
    ]
    boundary = _sizes(ideal, graphs, matrices, limbs)
    entries = {b: _padded(ideal, matrices[b], b, boundary) for b in range(world.owners)}
    x = _iterate(ideal, entries, boundary, offset)
    _release(ideal, entries, boundary, x, offset)
    return ideal


def _reconcile(ideal: Ideal, graphs: list[Any]) -> list[np.ndarray]:
    """Match the edges of each pair in plain; note what each party of the pair is told."""
    matched = [np.ones(graph.edges, bool) for graph in graphs]
    neighbours = [neighbour_of_edges(graph) for graph in graphs]
    owners = len(graphs)
    counts = np.full((ideal.world.parties, owners), padded_size(0), np.int64)
    for b, near in enumerate(neighbours):
        counts[b] = [padded_size(int(np.count_nonzero(near == c))) for c in range(owners)]
    ideal.published["reconcile", "sizes"] = dict(enumerate(counts))
    for i in range(owners):
        for j in range(i + 1, owners):
            size = int(max(counts[i, j], counts[j, i]))
            for name in ("edges", "weights"):
                edges = {b: np.flatnonzero(neighbours[b] == i + j - b) for b in (i, j)}
                known = {b: _tagged(graphs[b], edges[b], name) for b in (i, j)}
                common = set(known[i]) & set(known[j])
                dummies = size - max(len(known[i]), len(known[j]))
                label = ("reconcile", i, j, name)
                ideal.matches[label] = len(common) + dummies
                for b in (i, j):
                    bits = np.array([tag in common for tag in known[b]], bool)
                    ideal.answers[b, label] = (bits, dummies)
                    if name == "edges":
                        matched[b][edges[b]] = bits
    return matched


def _tagged(graph: Any, edges: np.ndarray, name: str) -> list[bytes]:
    parts = [vertex_keys(graph, graph.source[edges]), vertex_keys(graph, graph.target[edges])]
    if name == "weights":
        weights = np.stack([graph.weight[edges], graph.count[edges]], axis=1)
        parts.append(weights.view(np.uint8).reshape(len(edges), 16))
    return [row.tobytes() for row in np.concatenate(parts, axis=1)]


def _sizes(
    ideal: Ideal, graphs: list[Any], matrices: list[PaymentMatrix], limbs: int
) -> dict[tuple[int, int], int]:
    owners = len(graphs)
    sizes = np.zeros((ideal.world.parties, 2 + owners), np.int64)
    for b, matrix in enumerate(matrices):
        sizes[b, :2] = padded_size(graphs[b].vertices), padded_size(len(matrix.source))
        for c, rows in matrix.outward.items():
            sizes[b, 2 + c] = padded_size(len(rows))
    ideal.published["sizes",] = dict(enumerate(sizes))
    input_scaled = ideal.world.parameters.weight == "none"
    boundary = {(b, c): int(sizes[b, 2 + c]) for b in range(owners) for c in range(owners)}
    for b in range(owners):
        n, entries = int(sizes[b, 0]), int(sizes[b, 1])
        others = [c for c in range(owners) if c != b]
        outputs = n + sum(boundary[b, c] for c in others)
        placed = sum(boundary[c, b] for c in others)
        ideal.shapes[b] = MapShape(n, outputs, entries, placed, limbs, input_scaled)
    return boundary


def _padded(ideal: Ideal, matrix: PaymentMatrix, b: int, boundary: dict[Any, int]) -> Entries:
    others = [c for c in range(ideal.world.owners) if c != b]
    starts = {c: _rows_for(ideal, boundary, b, c)[0] for c in others}
    incoming = {c: boundary[c, b] for c in others}
    return pad_entries(matrix, ideal.shapes[b], ideal.form, starts, incoming)


def _rows_for(ideal: Ideal, boundary: dict[Any, int], b: int, receiver: int) -> tuple[int, int]:
    start = ideal.shapes[b].inputs
    start += sum(boundary[b, c] for c in range(receiver) if c != b)
    return start, start + boundary[b, receiver]


def _with_imports(
    ideal: Ideal, entries: Entries, boundary: dict[Any, int], x: dict[int, np.ndarray], b: int
) -> np.ndarray:
    d = x[b][: ideal.shapes[b].inputs].copy()
    rows = [
        x[c][slice(*_rows_for(ideal, boundary, c, b))] for c in range(ideal.world.owners) if c != b
    ]
    np.add.at(d, entries.place, np.concatenate([*rows, np.zeros(0, np.uint64)]))
    return d


def _truncate(x: np.ndarray, offsets: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    moved = (x + offsets).view(np.int64)
    return (moved >> shifts.astype(np.int64)).view(np.uint64).sum(axis=0, dtype=np.uint64)


def _iterate(
    ideal: Ideal, entries: dict[int, Entries], boundary: dict[Any, int], offset: Offsets
) -> dict[int, np.ndarray]:
    parameters, form, shapes = ideal.world.parameters, ideal.form, ideal.shapes
    steps, shifts = parameters.steps(), form.shift_column()
    assert steps <= 16, "one block of columns is enough for a test"
    x, constant = {}, {}
    for b, shape in shapes.items():
        place = ("prepare", 0, "truncate", b)
        ideal.offsets[place] = offset(place, (steps, shape.limbs, shape.outputs), shifts)
        risk = ideal.world.risk(b)
        r = np.zeros(shape.outputs)
        r[: len(risk)] = risk if parameters.personalisation == "risk_score" else 1.0
        x[b] = encode(r, form.value_bits)
        values = decode(x[b], form.value_bits) * (1 - parameters.alpha)
        constant[b] = encode(values, form.value_bits)
    for column in range(steps):
        following = {}
        for b, shape in shapes.items():
            d = _with_imports(ideal, entries[b], boundary, x, b)
            product = np.zeros((shape.limbs, shape.outputs), np.uint64)
            for limb in range(shape.limbs):
                moved = entries[b].limbs[limb] * d[entries[b].source]
                np.add.at(product[limb], entries[b].target, moved)
            offsets = ideal.offsets["prepare", 0, "truncate", b][column]
            coin = (product + offsets) & low_bits(shifts)
            ideal.coins["prepare", 0, "apply", column, "truncate", b] = coin
            following[b] = _truncate(product, offsets, shifts) + constant[b]
        x = following
    return x


def _release(
    ideal: Ideal,
    entries: dict[int, Entries],
    boundary: dict[Any, int],
    x: dict[int, np.ndarray],
    offset: Offsets,
) -> None:
    form = ideal.form
    total = int(sum(int(rows.sum(dtype=np.uint64)) for rows in x.values())) % 2**64
    numerator = (ideal.accounts << form.value_bits) << (2 * form.weight_bits)
    rho = round(Fraction(numerator, total))
    limbs = np.array([rho >> form.weight_bits, rho % 2**form.weight_bits], np.uint64)[:, None]
    for b in ideal.shapes:
        product = limbs * _with_imports(ideal, entries[b], boundary, x, b)
        place = ("normalise", b, "truncate")
        shifts = shifts_of(place, form)
        ideal.offsets[place] = offset(place, product.shape, shifts)
        ideal.coins[place] = (product + ideal.offsets[place]) & low_bits(shifts)
        ideal.released[b] = _truncate(product, ideal.offsets[place], shifts)


def knowledge_of(ideal: Ideal, party: int) -> Knowledge:
    """Return what one party is told: its outputs and what is public."""
    roster = ideal.world.roster
    dealer = {b: roster.helpers(b)[1] for b in roster.owners}
    holders = {b: (b, roster.helpers(b)[0]) for b in roster.owners}

    def owner_of(label: Label) -> int:
        return int(label[1] if label[0] == "normalise" else label[-1])

    return Knowledge(
        ideal.accounts,
        ideal.published,
        ideal.shapes,
        ideal.form,
        {label: answer for (b, label), answer in ideal.answers.items() if b == party},
        {
            label: count
            for label, count in ideal.matches.items()
            if roster.third(int(label[1]), int(label[2])) == party
        },
        {p: o for p, o in ideal.offsets.items() if dealer[owner_of(p)] == party},
        {p: k for p, k in ideal.coins.items() if party in holders[owner_of(p)]},
        ideal.released.get(party),
    )
