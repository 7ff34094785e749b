"""The picture of a trace: what is drawn, what is never drawn, and where it stands."""

from __future__ import annotations

import re
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bank_node.desk import TracePage
from bank_node.web.picture import draw
from bank_node.web.picture_form import form_of
from bank_node.web.picture_graph import Graph, Wish, graph_of
from bank_node.web.picture_ink import Words
from bank_node.web.picture_layout import Layered, crossings, few_crossings
from bank_node.web.picture_reached import reached_by

OWN = "BANKA"
SVG = "{http://www.w3.org/2000/svg}"
WORDS = Words(
    title="Trace",
    description="Own accounts from left to right",
    start="asked about",
    gathered=lambda n: f"and {n} more",
    others=lambda n: f"{n} other banks",
    returned=lambda amount: f"came back {amount}",
    bank=lambda bank: f"Bank {bank}",
    edge=lambda payer, payee, amount, n: f"{payer} to {payee}: {amount}, {n} payments",
    column=lambda bounds: "Start" if bounds is None else f"{bounds[0]} to {bounds[1]}",
    amount=lambda amount: f"{amount:,.2f}",
    money=lambda amount: f"{amount:,.2f}",
    legend=dict.fromkeys(("start", "account", "gathered", "bank", "returned", "width"), "word"),
)
_ROW = ("account", "slice", "kind", "amount")
_LINK = ("from_bank", "from_account", "to_bank", "to_account", "slice", "amount", "payments")
Row = tuple[str, int, str, float]
Link = tuple[str, str, str, str, int, int, int]


def table(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    """Rows as a table."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    kinds = {
        "slice": pa.int64(), "amount": pa.float64(), "payments": pa.int64(), "depth": pa.int64(),
        "band": pa.int64(),
    }  # fmt: skip
    if "payments" in names:
        kinds["amount"] = pa.int64()
    return pa.table(
        {n: pa.array(c, kinds.get(n, pa.string())) for n, c in zip(names, columns, strict=True)}
    )


def trace(
    rows: Sequence[Row], links: Sequence[Link] = (), *, asked: Sequence[str] = ("A1",), **given: str
) -> TracePage:
    """A trace that found these rows."""
    parameters = {"direction": "forward", "slice": "1d"} | given
    found, paid = table(_ROW, rows), table(_LINK, links)
    return TracePage("r" * 24, 0, "ann", tuple(asked), parameters, "exact", found, paid)


def own(payer: str, payee: str, slice_: int = 0, amount: int = 1000) -> Link:
    """A payment between own accounts."""
    return (OWN, payer, OWN, payee, slice_, amount, 1)


def large(accounts: int, slices: int, seed: int = 1) -> TracePage:
    """A trace that reached many accounts, with payments among them and with two other banks."""
    rng = np.random.default_rng(seed)
    names = [f"A{i}" for i in range(1, accounts + 2)]
    first = np.sort(rng.integers(0, slices, accounts))
    amounts = np.exp(rng.normal(6, 2, accounts))
    rows = [(names[i + 1], int(first[i]), "received", float(amounts[i])) for i in range(accounts)]
    links: list[Link] = []
    for i in range(1, accounts + 1):
        payer = int(rng.integers(0, i))
        links.append(own(names[payer], names[i], int(first[i - 1]), int(rng.integers(1, 10**7))))
        bank = ("BANKB", "BANKC")[i % 2]
        links.append((bank, f"{bank}-SECRET{i}", OWN, names[i], int(first[i - 1]), 100 * i, 2))
    return trace(rows, links)


def drawn(page: TracePage, wish: Wish | None = None, *, as_file: bool = False) -> str:
    """The SVG of a trace."""
    return draw(graph_of(page, OWN, 2, wish or Wish()), WORDS, as_file=as_file).svg


SMALL = trace(
    [("A2", 1, "received", 800.0), ("A3", 2, "received", 90.0), ("A1", 3, "returned", 55.0)],
    [
        own("A1", "A2", 1, 80_000), own("A2", "A3", 2, 9_000), own("A3", "A1", 3, 5_500),
        (OWN, "A2", "BANKB", "BANKB-SECRET1", 2, 70_000, 2),
        (OWN, "A2", "BANKB", "BANKB-SECRET2", 3, 1_000, 1),
        ("BANKC", "BANKC-SECRET3", OWN, "A3", 2, 4_000, 1),
    ],
)  # fmt: skip


def test_another_bank_is_one_node_and_none_of_its_accounts_is_drawn() -> None:
    """Payments to two accounts of a bank end at one node, and neither account is in the SVG."""
    graph = graph_of(SMALL, OWN, 2, Wish())
    assert [n.label for n in graph.nodes if n.kind == "bank"] == ["BANKB", "BANKC"]
    for as_file in (False, True):
        assert "SECRET" not in drawn(SMALL, as_file=as_file)
    to_bank = [e for e in graph.edges if graph.nodes[e.target].label == "BANKB"]
    assert [(e.amount, e.payments, e.slice) for e in to_bank] == [(710.0, 3, 2)]


def test_many_other_banks_are_gathered_into_one_lane() -> None:
    """Beyond the eight largest, other banks share a lane, so that the picture stays flat."""
    links = [(OWN, "A2", f"B{i}", f"B{i}-SECRET", 1, 100 + i, 1) for i in range(20)]
    graph = graph_of(trace([("A2", 1, "received", 5.0)], links), OWN, 2, Wish())
    banks = [n for n in graph.nodes if n.kind == "bank"]
    assert [n.label for n in banks] == [*sorted(f"B{i}" for i in range(12, 20)), ""]
    assert banks[-1].count == 12
    assert sum(e.amount for e in graph.edges) == pytest.approx(sum(1 + i / 100 for i in range(20)))


def test_time_runs_from_left_to_right_in_both_directions() -> None:
    """Forward the start stands at the left of all slices; backward at the right."""
    forward = graph_of(SMALL, OWN, 2, Wish())
    assert forward.columns == (None, (1, 1), (2, 2))
    assert [n.column for n in forward.nodes if n.kind != "bank"] == [0, 1, 2]
    back = replace(SMALL, parameters={"direction": "backward", "slice": "1d"})
    backward = graph_of(back, OWN, 2, Wish())
    assert backward.columns == ((1, 1), (2, 2), None)
    assert {n.label: n.column for n in backward.nodes if n.column >= 0} == {
        "A2": 0, "A3": 1, "A1": 2,
    }  # fmt: skip


def test_columns_by_depth_need_a_trace_that_told_it() -> None:
    """By depth, an account stands at its fewest payments since the start; else time is used."""
    rows = table((*_ROW, "depth"), [
        ("A2", 5, "received", 8.0, 2), ("A2", 6, "received", 8.0, 1), ("A3", 1, "received", 8.0, 2),
    ])  # fmt: skip
    by_depth = graph_of(replace(SMALL, rows=rows), OWN, 2, Wish(by="depth"))
    assert by_depth.by == "depth"
    columns = {n.label: n.column for n in by_depth.nodes if n.column >= 0}
    assert columns == {"A1": 0, "A2": 1, "A3": 2}
    assert graph_of(SMALL, OWN, 2, Wish(by="depth")).by == "slice"


def test_more_slices_than_columns_share_columns() -> None:
    """A hundred slices become at most forty columns that hold them all, in order."""
    page = trace([(f"A{i + 2}", i, "received", 1.0) for i in range(100)])
    columns = graph_of(page, OWN, 2, Wish()).columns[1:]
    assert len(columns) == 40
    bounds = [b for b in columns if b is not None]
    assert [b[0] for b in bounds] == [0, *(b[1] + 1 for b in bounds[:-1])]
    assert bounds[-1][1] == 99


def test_the_smallest_accounts_of_a_column_are_gathered() -> None:
    """Beyond the limit the smallest share a node; every account has a place; sums are kept."""
    page = trace([(f"A{i + 2}", 0, "received", float(i + 1)) for i in range(100)])
    graph = graph_of(page, OWN, 2, Wish(most=30))
    shown = [n.amount for n in graph.nodes if n.kind == "account"]
    gathered = [n for n in graph.nodes if n.kind == "gathered"]
    assert sorted(shown) == [float(i) for i in range(71, 101)]
    assert [(n.count, n.amount) for n in gathered] == [(70, sum(range(1, 71)))]
    assert graph.gathered == 70
    assert (graph.place >= 0).all()
    assert "and 70 more" in drawn(page, Wish(most=30))


def test_a_cut_off_shows_what_lies_above_it() -> None:
    """With a smaller cut-off more accounts have their own node; with 0 all of them."""
    page = trace([(f"A{i + 2}", 0, "received", float(i + 1)) for i in range(100)])
    assert [graph_of(page, OWN, 2, Wish(cut=c)).gathered for c in (90, 20, 0)] == [89, 19, 0]


def test_one_account_is_never_gathered_alone() -> None:
    """A node that says "and 1 more" would take the room of the account itself."""
    page = trace([(f"A{i + 2}", 0, "received", float(i + 1)) for i in range(31)])
    assert graph_of(page, OWN, 2, Wish(most=30)).gathered == 0


def test_more_money_is_drawn_larger() -> None:
    """Accounts grow with what they received and lines with what was paid."""
    graph = graph_of(large(300, 5), OWN, 2, Wish())
    form = form_of(graph)
    amounts = [n.amount for n in graph.nodes if n.kind == "account"]
    radii = [r for n, r in zip(graph.nodes, form.radius, strict=True) if n.kind == "account"]
    assert (np.diff(np.array(radii)[np.argsort(amounts)]) >= 0).all()
    paid = np.argsort([e.amount for e in graph.edges])
    assert (np.diff(form.stroke[paid]) >= 0).all()
    assert radii[int(np.argmax(amounts))] > 2 * radii[int(np.argmin(amounts))]


def test_returned_money_is_marked_by_shape_colour_and_words() -> None:
    """The start says in words what came back, beside an arrow of its own, and its lines differ."""
    root = ET.fromstring(drawn(SMALL))
    start = next(g for g in root.iter(f"{SVG}g") if g.get("data-kind") == "start")
    assert "came back 55.00" in "".join(start.itertext())
    assert [p.get("class") for p in start.iter(f"{SVG}path")] == ["pic-return"]
    back = [p for p in root.iter(f"{SVG}path") if p.get("class") == "pic-edge pic-back"]
    assert len(back) == 1
    assert back[0].get("stroke-dasharray")
    without = trace([("A2", 1, "received", 1.0)], [own("A2", "A1")])
    assert "pic-edge pic-back" not in drawn(without)
    assert "came back" not in drawn(without)


def test_own_accounts_that_were_not_reached_are_left_out() -> None:
    """A payment to an own account without traced money adds neither node nor line."""
    page = trace([("A2", 1, "received", 1.0)], [own("A1", "A2"), own("A2", "A99")])
    graph = graph_of(page, OWN, 2, Wish())
    assert [n.label for n in graph.nodes] == ["A1", "A2"]
    assert [(e.source, e.target) for e in graph.edges] == [(0, 1)]


def test_bands_are_compared_and_never_added() -> None:
    """A trace released in bands shows the highest band of an account."""
    rows = table(
        ("account", "slice", "kind", "band"),
        [("A2", 0, "received", 1), ("A2", 1, "received", 3), ("A3", 1, "received", 2)],
    )
    page = replace(SMALL, rows=rows)
    reached = reached_by(page)
    assert reached.is_band
    assert reached.received.tolist() == [0.0, 3.0, 2.0]
    assert graph_of(page, OWN, 2, Wish()).is_band


def test_a_trace_that_reached_nothing_is_a_start_alone() -> None:
    """No rows and no payments give a picture with one node."""
    graph = graph_of(trace([]), OWN, 2, Wish())
    assert [n.kind for n in graph.nodes] == ["start"]
    assert ET.fromstring(draw(graph, WORDS).svg).tag == f"{SVG}svg"


@pytest.mark.parametrize("as_file", [False, True])
def test_the_picture_has_no_script_no_style_and_no_markup_of_names(as_file: bool) -> None:
    """Names are text, whatever stands in them, and a strict content policy has nothing to block."""
    evil = '"><script>alert(1)</script><i onload="x'
    page = trace([(evil, 0, "received", 1.0)], [own("A1", evil)], asked=["A1"])
    root = ET.fromstring(drawn(page, as_file=as_file))
    tags = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert tags <= {"svg", "title", "desc", "defs", "marker", "g", "path", "rect", "circle", "text"}
    names = {name for element in root.iter() for name in element.attrib}
    assert not {n for n in names if n == "style" or n.startswith("on") or "href" in n}
    assert evil in "".join(root.itertext())


def test_a_file_has_its_colours_and_a_page_takes_them_from_its_stylesheet() -> None:
    """As a file every shape has a colour of its own and no class; inside a page the reverse."""
    for as_file in (True, False):
        root = ET.fromstring(drawn(SMALL, as_file=as_file))
        shapes = [e for e in root.iter() if e.tag in {f"{SVG}{t}" for t in ("circle", "rect")}]
        assert all((e.get("fill") is not None) == as_file for e in shapes)
        assert all((e.get("class") is None) == as_file for e in shapes)


def test_the_picture_says_what_it_is() -> None:
    """It has a title and a description, and each node and line says its amount."""
    root = ET.fromstring(drawn(SMALL))
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == "picture-title picture-text"
    titles = [title.text for title in root.iter(f"{SVG}title")]
    assert "A2: 800.00" in titles
    assert "A1 to A2: 800.00, 1 payments" in titles
    assert "A2 to Bank BANKB: 710.00, 3 payments" in titles


def brute_crossings(graph: Layered, rank: np.ndarray) -> int:
    """Crossings counted pair by pair."""
    ends = []
    for s, t in zip(graph.source.tolist(), graph.target.tolist(), strict=True):
        a, b = sorted((s, t), key=lambda v: int(graph.column[v]))
        if graph.column[a] != graph.column[b]:
            ends.append((int(graph.column[a]), int(graph.column[b]), int(rank[a]), int(rank[b])))
    return sum(
        p[:2] == q[:2] and (p[2] - q[2]) * (p[3] - q[3]) < 0
        for i, p in enumerate(ends)
        for q in ends[:i]
    )


def random_layers(seed: int, nodes: int, columns: int, edges: int) -> tuple[Layered, np.ndarray]:
    """Nodes in columns with random edges, in a random order."""
    rng = np.random.default_rng(seed)
    column = np.sort(np.append(np.arange(columns), rng.integers(0, columns, nodes - columns)))
    source, target = rng.integers(0, nodes, edges), rng.integers(0, nodes, edges)
    rank = np.empty(nodes, np.int64)
    for c in range(columns):
        members = np.flatnonzero(column == c)
        rank[members] = rng.permutation(len(members))
    return Layered(column, source, target), rank


@pytest.mark.parametrize("seed", range(8))
def test_crossings_are_counted_exactly(seed: int) -> None:
    """The count by merge sort is the count pair by pair, with edges in both directions."""
    graph, rank = random_layers(seed, 60, 4, 220)
    assert crossings(graph, rank) == brute_crossings(graph, rank)


@pytest.mark.parametrize("seed", range(8))
def test_the_order_never_has_more_crossings_and_stays_an_order(seed: int) -> None:
    """Ranks stay a permutation of each column, and crossings fall by a third at least."""
    graph, rank = random_layers(seed, 120, 6, 160)
    better = few_crossings(graph, rank)
    for c in range(6):
        members = graph.column == c
        assert sorted(better[members].tolist()) == list(range(int(members.sum())))
    assert crossings(graph, better) < crossings(graph, rank) * 2 / 3


def test_separate_chains_do_not_cross() -> None:
    """Chains that were shuffled in every column come out beside each other."""
    rng = np.random.default_rng(3)
    width, depth = 25, 6
    column = np.repeat(np.arange(depth), width)
    source = np.arange(width * (depth - 1))
    rank = np.concatenate([rng.permutation(width) for _ in range(depth)])
    graph = Layered(column, source, source + width)
    assert crossings(graph, rank) > 0
    assert crossings(graph, few_crossings(graph, rank)) == 0


def test_nodes_of_a_column_do_not_overlap() -> None:
    """All nodes of a column stand a row apart, above the lanes of the other banks."""
    graph: Graph = graph_of(large(400, 6), OWN, 2, Wish())
    form = form_of(graph)
    column = np.array([n.column for n in graph.nodes])
    for c in range(len(graph.columns)):
        heights = np.sort(form.y[column == c])
        assert (np.diff(heights) >= 30).all()
    assert form.y[column >= 0].max() < form.y[column < 0].min()


def test_a_picture_of_5000_accounts_has_a_bounded_number_of_elements(
    record_property: Any,
) -> None:
    """Five thousand accounts become some hundred nodes; the time it took is reported."""
    page = large(5000, 12)
    began = time.perf_counter()
    made = draw(graph_of(page, OWN, 2, Wish()), WORDS)
    seconds = time.perf_counter() - began
    record_property("seconds", seconds)
    print(f"5,000 accounts: {made.nodes} nodes, {made.edges} edges, {seconds:.2f} s")
    assert made.nodes < 450
    assert len(re.findall("<", made.svg)) < 30_000
    assert "SECRET" not in made.svg
