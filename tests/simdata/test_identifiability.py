"""The measure of what results give away finds what an attacker can find, and no more."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.optimize import linprog
from typer.testing import CliRunner

from bank_node.errors import ParameterError
from graph_mpc.policy import parse_policy
from simdata.identifiability import (
    Exposure,
    ScoredGraph,
    measure,
    random_graph,
    released_range,
)
from simdata.unknowns import _solved_by_structure, determined, score_intervals
from undercurrent.identifiability import read_graph
from undercurrent.lab import app

HEADER = "tx_id,timestamp,from_bank,from_account,to_bank,to_account,amount,currency\n"
EVERY = 1_000_000


def graph_of(
    banks: list[int], scores: list[float], edges: list[tuple[int, int, float]]
) -> ScoredGraph:
    """A graph by hand: bank and score of each account, and (payer, payee, amount)."""
    source, target, weight = zip(*edges, strict=True)
    return ScoredGraph(
        bank=np.array(banks),
        score=np.array(scores),
        source=np.array(source),
        target=np.array(target),
        weight=np.array(weight, float),
        run=np.zeros(len(edges), np.int64),
    )


def look(graph: ScoredGraph, policy: str, delta: float = 0.3, seed: int = 1) -> Exposure:
    """Measure one policy, with a programme for every sender that needs one."""
    rng = np.random.default_rng(seed)
    return measure(graph, [parse_policy(policy)], delta, rng, programmes=EVERY)[0]


def equal_bands(number: int) -> str:
    """The policy of so many bands of one width."""
    return "bands:" + ",".join(repr(i / number) for i in range(1, number))


def random_rows(seed: int, rows: int, unknowns: int, size: int) -> sp.csr_array:
    """Rows of 1 to ``size`` unknowns with positive weights that add up to 1."""
    rng = np.random.default_rng(seed)
    dense = np.zeros((rows, unknowns))
    for row in dense:
        row[rng.choice(unknowns, rng.integers(1, size + 1), replace=False)] = 1
    dense *= rng.lognormal(size=dense.shape)
    return sp.csr_array(dense / dense.sum(axis=1, keepdims=True))


def null_space_says(weights: sp.csr_array) -> NDArray[np.bool_]:
    """By definition: the unit vector of an unknown is orthogonal to the whole null space."""
    _left, size, right = np.linalg.svd(weights.toarray(), full_matrices=True)
    null = right[np.count_nonzero(size > 1e-10 * size[0]) :]
    says: NDArray[np.bool_] = np.abs(null).max(axis=0, initial=0.0) < 1e-7
    return says


@pytest.mark.parametrize(("in_degree", "expected"), [(1, 0.62), (2, 0.45), (4, 0.18), (8, 0.02)])
def test_exact_scores_give_away_what_another_simulation_found(
    in_degree: int, expected: float
) -> None:
    """1,500 accounts, 3 banks: 62, 45, 18 and 2 % of external senders, within 5 points."""
    graph = random_graph(1500, 3, in_degree, np.random.default_rng(1))
    rng = np.random.default_rng(1)
    (found,) = measure(graph, [parse_policy("exact")], 0.3, rng, programmes=1)
    assert found.determined == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("seed", range(12))
def test_determined_is_what_the_null_space_says(seed: int) -> None:
    """Solving lone unknowns first and components apart changes nothing against the definition."""
    weights = random_rows(seed, 8 + 4 * seed, 20 + 4 * seed, 2 + seed % 4)
    found = determined(weights)
    np.testing.assert_array_equal(found, null_space_says(weights))


@pytest.mark.parametrize("seed", range(12))
def test_structure_gives_the_same_answer_for_amounts_in_general(seed: int) -> None:
    """What stands in for singular values in huge components agrees with them."""
    weights = random_rows(100 + seed, 30, 26 + 2 * seed, 4)
    np.testing.assert_array_equal(_solved_by_structure(weights), null_space_says(weights))


def test_amounts_that_cancel_are_seen_by_the_numbers() -> None:
    """x + (y + z) and y + z as parts of two rows give x, though no row has one unknown."""
    weights = sp.csr_array(np.array([[0.5, 0.25, 0.25], [0.0, 0.5, 0.5]]))
    assert determined(weights).tolist() == [True, False, False]


@pytest.mark.parametrize("slacks", [[0.0], [0.02], [0.2], [0.02, 1.0]])
@pytest.mark.parametrize("seed", range(5))
def test_intervals_are_those_of_plain_linear_programmes(seed: int, slacks: list[float]) -> None:
    """Tightening, components and skipped programmes give the same ends as one large programme."""
    weights = random_rows(seed, 14, 18, 3)
    rng = np.random.default_rng(seed)
    truth = rng.random(18)
    low = weights @ truth - rng.choice(slacks, 14)  # with a slack of 1 a row binds on one side
    high = weights @ truth + rng.choice(slacks, 14)
    box = np.zeros(18), np.ones(18)
    found = score_intervals(weights, low, high, box, np.random.default_rng(0), EVERY)
    assert found.unsolved == 0
    assert (found.share == 1).all()
    stacked, bounds = sp.vstack([weights, -weights]), np.append(high + 1e-9, -low + 1e-9)
    for j in range(18):
        cost = (np.arange(18) == j).astype(float)
        least = linprog(cost, A_ub=stacked, b_ub=bounds, bounds=(0, 1))
        most = linprog(-cost, A_ub=stacked, b_ub=bounds, bounds=(0, 1))
        assert found.least[j] == pytest.approx(least.fun, abs=1e-4)
        assert found.most[j] == pytest.approx(-most.fun, abs=1e-4)


@pytest.mark.parametrize("in_degree", [1, 4])
def test_the_true_score_is_always_inside(in_degree: int) -> None:
    """No interval excludes the truth, and a drawn sample stands for all unknowns."""
    graph = random_graph(300, 3, in_degree, np.random.default_rng(5))
    truth = graph.score[:100]
    weights = random_rows(in_degree, 60, 100, 3)
    mean = weights @ truth
    low, high = np.floor(mean * 8) / 8, np.floor(mean * 8) / 8 + 1 / 8
    box = np.zeros(100), np.ones(100)
    found = score_intervals(weights, low, high, box, np.random.default_rng(0), 10)
    assert (found.least <= truth + 1e-6).all()
    assert (found.most >= truth - 1e-6).all()
    assert found.share.sum() == pytest.approx(100)


def test_a_single_sender_by_hand() -> None:
    """Account 0 (score 0.5) is paid by 1 (score 0.8) alone: r = 0.35 + 0.3 s = 0.59."""
    graph = graph_of([0, 1], [0.5, 0.8], [(1, 0, 100)])
    exact = look(graph, "exact")
    assert (exact.senders, exact.determined, exact.pinned) == (1, 1.0, 1.0)
    # r in [0.5, 0.8) leaves s in [0.5, 1]; r < 0.6 leaves s below 0.833 and above 0.
    assert look(graph, "bands:0.2,0.5,0.8").mean_width == pytest.approx(0.5)
    assert look(graph, "threshold:0.6:0.1").mean_width == pytest.approx((0.6 - 0.35) / 0.3)
    # Rounded to 0.6 at a threshold of 0.5: r in [0.55, 0.65] leaves s in [2/3, 1].
    assert look(graph, "threshold:0.5:0.1").mean_width == pytest.approx(1 / 3)


def test_own_senders_are_known_and_unpaid_accounts_tell_nothing() -> None:
    """Only payers at other banks are unknown; own payers enter with their known scores."""
    graph = graph_of([0, 0, 1, 1], [0.1, 0.9, 0.4, 0.6], [(1, 0, 10), (2, 0, 30), (0, 1, 5)])
    found = look(graph, "exact")
    assert (found.senders, found.determined) == (1, 1.0)
    inside = look(graph_of([0, 0, 1], [0.1, 0.9, 0.4], [(1, 0, 10)]), "exact")
    assert inside.senders == 0
    assert (inside.pinned, inside.mean_width, inside.quantiles) == (None, None, None)


def test_the_in_degree_is_that_of_the_row_that_says_most() -> None:
    """Account 2 pays one receiver alone and one with company: it counts with in-degree 1."""
    graph = graph_of([0, 0, 1, 1, 1], [0.2] * 5, [(2, 0, 1), (2, 1, 1), (3, 1, 1), (4, 1, 1)])
    groups = {group.in_degree: group for group in look(graph, "exact").groups}
    assert {size: group.senders for size, group in groups.items()} == {1: 1, 3: 2}
    assert groups[1].determined == 1.0
    assert groups[3].determined == 0.0


def test_results_look_alike_exactly_within_their_range() -> None:
    """Bands are half-open; above a threshold values round to the nearest step, never below it."""
    results = np.array([0.0, 0.2, 0.49, 0.5, 1.0])
    low, high = released_range(parse_policy("bands:0.2,0.5"), results)
    np.testing.assert_allclose(low, [0, 0.2, 0.2, 0.5, 0.5])
    np.testing.assert_allclose(high, [0.2, 0.5, 0.5, 1, 1])
    low, high = released_range(parse_policy("threshold:0.8:0.05"), np.array([0.3, 0.8, 0.83, 0.99]))
    np.testing.assert_allclose(low, [0, 0.8, 0.825, 0.975])
    np.testing.assert_allclose(high, [0.8, 0.825, 0.875, 1.0])


def test_delta_does_not_matter_to_exact_scores() -> None:
    """The share determined is the same for any delta above 0."""
    graph = random_graph(300, 3, 2, np.random.default_rng(3))
    shares = {look(graph, "exact", delta).determined for delta in (0.01, 0.3, 1.0)}
    assert len(shares) == 1


def test_finer_bands_larger_delta_and_more_runs_give_away_more() -> None:
    """Intervals shrink with each; exact scores give away most of all."""
    graph = random_graph(300, 3, 2, np.random.default_rng(3))
    widths = [look(graph, equal_bands(bands)).mean_width or 0 for bands in (2, 4, 8, 16, 32)]
    assert widths == sorted(widths, reverse=True)
    assert (look(graph, "exact").mean_width or 0) < widths[-1]
    by_delta = [look(graph, equal_bands(8), delta).mean_width or 0 for delta in (0.1, 0.3, 1.0)]
    assert by_delta[0] > by_delta[1] > by_delta[2]
    many = random_graph(300, 3, 2, np.random.default_rng(3), runs=5)
    first = replace(many, **{
        name: getattr(many, name)[many.run == 0] for name in ("source", "target", "weight", "run")
    })  # fmt: skip
    one, five = look(first, equal_bands(8)), look(many, equal_bands(8))
    assert (five.mean_width or 0) < (one.mean_width or 0)


def test_random_graphs_have_the_shape_asked_for() -> None:
    """Payers are distinct others, in-degrees have mean and variance d, skewed scores are low."""
    graph = random_graph(3000, 3, 4, np.random.default_rng(1), scores="skewed", runs=2)
    assert (graph.source != graph.target).all()
    triples = np.stack([graph.run, graph.source, graph.target])
    assert np.unique(triples, axis=1).shape == triples.shape
    size = np.bincount(graph.run * 3000 + graph.target, minlength=6000)
    assert size.mean() == pytest.approx(4, rel=0.05)
    assert size.var() == pytest.approx(4, rel=0.1)
    assert np.median(graph.score) < 0.1
    assert graph.score.max() <= 1


def test_the_command_is_the_same_for_the_same_seed() -> None:
    """Two runs print the same JSON; another seed, another."""
    args = ["identifiability", "--accounts", "90", "--in-degree", "2,3", "--json"]
    one, two = (CliRunner().invoke(app, args) for _ in range(2))
    assert one.exit_code == 0
    assert one.output == two.output
    assert CliRunner().invoke(app, [*args, "--seed", "2"]).output != one.output
    rows = json.loads(one.output)["rows"]
    assert [(row["in_degree"], row["policy"]) for row in rows] == [
        (degree, policy)
        for degree in (2, 3)
        for policy in ("exact", "bands:0.2,0.5,0.8", "threshold:0.8:0.05")
    ]
    shown = CliRunner().invoke(app, [*args[:-1], "--policy", "exact"])
    assert "determined" in shown.output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--delta", "0"], "--delta"),
        (["--delta", "nan"], "--delta"),
        (["--pinned-below", "2"], "--pinned-below"),
        (["--in-degree", "two"], "--in-degree"),
        (["--in-degree", "-1"], "--in-degree"),
        (["--in-degree", "nan"], "--in-degree"),
        (["--accounts", "10", "--in-degree", "8"], "--in-degree"),
        (["--accounts", "2"], "--accounts"),
        (["--scores", "high"], "--scores"),
        (["DATA", "--runs", "3"], "--runs"),
    ],
)
def test_wrong_options_are_refused_by_name(options: list[str], words: str) -> None:
    """The error is one line that names the option."""
    result = CliRunner().invoke(app, ["identifiability", *options])
    assert isinstance(result.exception, ParameterError)
    assert words in str(result.exception)
    assert "\n" not in str(result.exception)


def data_set(place: Path, rows: dict[str, str]) -> Path:
    """A data set folder of banks a, b with the given payments in each bank's file."""
    for bank, text in rows.items():
        folder = place / "banks" / bank
        folder.mkdir(parents=True)
        scores = {"a": "1,0.1\n2,0.2\n", "b": "1,0.8\n2,0.6\n"}[bank]
        (folder / "accounts.csv").write_text("account,risk_score\n" + scores)
        (folder / "transactions.csv").write_text(HEADER + text)
    return place


def payment(tx: str, payer: str, payee: str, amount: int = 10) -> str:
    """A row; an account is written as bank and number."""
    sides = f"{payer[0]},{payer[1:]},{payee[0]},{payee[1:]}"
    return f"{tx},2024-01-01,{sides},{amount},EUR\n"


def test_the_graph_of_a_data_set_is_the_one_the_banks_agree_on(tmp_path: Path) -> None:
    """Receiver's amounts; payments known to one bank, or with an outside bank, are left out."""
    shared = payment("1", "b1", "a1") + payment("2", "a2", "b2", 7)
    inner = payment("3", "a1", "a2", 5)
    folder = data_set(
        tmp_path,
        {
            "a": shared + inner + payment("4", "b2", "a2") + payment("5", "x9", "a1"),
            "b": payment("1", "b1", "a1", 99) + payment("2", "a2", "b2", 7),
        },
    )
    graph = read_graph(folder)
    edges = zip(graph.source.tolist(), graph.target.tolist(), graph.weight.tolist(), strict=True)
    assert sorted(edges) == [(0, 1, 500.0), (1, 3, 700.0), (2, 0, 1000.0)]
    assert graph.score.tolist() == [0.1, 0.2, 0.8, 0.6]
    found = look(graph, "exact")
    assert (found.senders, found.determined) == (2, 1.0)
    args = ["identifiability", str(folder), "--policy", "exact", "--json"]
    (row,) = json.loads(CliRunner().invoke(app, args).output)["rows"]
    assert (row["in_degree"], row["senders"], row["determined"]) == (None, 2, 1.0)


def test_a_data_set_without_payments_between_banks_is_refused(tmp_path: Path) -> None:
    """There is nothing to measure, and the error says so."""
    folder = data_set(tmp_path, {"a": payment("1", "a1", "a2"), "b": payment("2", "b1", "b2")})
    with pytest.raises(ParameterError, match="no payment comes from another bank"):
        read_graph(folder)
