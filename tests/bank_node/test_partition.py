"""A partition holds exactly the accounts and summed payments that a slow reference finds."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bank_node.errors import AmountOverflowError, DataError, RosterError, WindowError
from bank_node.ingest import BankData, IngestCounts
from bank_node.partition import Partition, build_partition, consortium_edges
from graph_mpc.graph import OUTSIDE

BANKS = ["a", "07", "c"]
Payment = tuple[int, str, str, str, str, int]


def bank_data(
    payments: Sequence[Payment],
    accounts: Sequence[tuple[str, float, int | None, bool]] = (),
    *,
    bank: str = "a",
    scope_declared: bool = True,
) -> BankData:
    """The data of a bank as the reader would give them."""
    names, risks, balances, scopes = zip(*accounts, strict=True) if accounts else ((),) * 4
    moments, payers, payer_accounts, payees, payee_accounts, amounts = (
        zip(*payments, strict=True) if payments else ((),) * 6
    )
    text, whole = pa.string(), pa.int64()
    return BankData(
        bank=bank,
        base_currency="EUR",
        accounts=pa.table(
            {
                "account": pa.array(names, text),
                "customer": pa.nulls(len(names), text),
                "opened": pa.nulls(len(names), text),
                "kind": pa.nulls(len(names), text),
                "risk_score": pa.array(risks, pa.float64()),
                "balance": pa.array(balances, whole),
                "in_scope": pa.array(scopes, pa.bool_()),
            }
        ),
        transactions=pa.table(
            {
                "tx_id": pa.array([str(i) for i in range(len(payments))], text),
                "timestamp": pa.array(moments, whole),
                "from_bank": pa.array(payers, text),
                "from_account": pa.array(payer_accounts, text),
                "to_bank": pa.array(payees, text),
                "to_account": pa.array(payee_accounts, text),
                "amount": pa.array(amounts, whole),
                "channel": pa.nulls(len(payments), text),
            }
        ),
        scope_declared=scope_declared,
        counts=IngestCounts(len(names), 0, len(payments)),
    )


def key(bank: str, account: str) -> bytes:
    """The key of an account, by the book."""
    return hashlib.sha256(f"{bank}\x1f{account}".encode()).digest()


def edges_by_key(partition: Partition) -> dict[tuple[bytes, bytes, int], tuple[int, int]]:
    """Weight and count of each edge, under the keys of its ends and its slice."""
    graph = partition.graph

    def end(vertex: int) -> bytes:
        return bytes(graph.vertex_key[vertex] if vertex >= 0 else graph.neighbour_key[~vertex])

    found = {
        (end(source), end(target), int(where)): (int(weight), int(count))
        for source, target, where, weight, count in zip(
            graph.source, graph.target, graph.slice, graph.weight, graph.count, strict=True
        )
    }
    assert len(found) == graph.edges
    return found


sides = st.tuples(st.sampled_from(["a", "7", "c", "z"]), st.sampled_from(["", "é", "1", "2", "B"]))
payments_of_a = st.lists(
    st.tuples(st.integers(0, 99), sides, sides, st.integers(0, 10**15)).map(
        lambda p: (p[0], *p[1], *p[2], p[3])
    ),
    max_size=40,
).map(lambda ps: [p for p in ps if "a" in (p[1], p[3])])


@given(payments_of_a, st.sets(st.sampled_from(["1", "2", "x", "Y"])), st.booleans())
@settings(max_examples=60, deadline=None)
def test_edges_and_accounts_are_those_of_the_reference(
    payments: list[Payment], listed: set[str], windowed: bool
) -> None:
    """Accounts, keys, owners and sums per (from, to, slice) agree with plain Python."""
    window: dict[str, Any] = {"since": 10, "until": 90, "slice_us": 16} if windowed else {}
    data = bank_data(payments, [(name, 0.5, 3, True) for name in sorted(listed)])
    part = build_partition(data, "a", BANKS, **window)
    own = listed | {p[2] for p in payments if p[1] == "a"} | {p[4] for p in payments if p[3] == "a"}
    assert part.accounts.to_pylist() == sorted(own, key=str.encode)
    assert part.only_in_payments == len(own - listed)
    assert [bytes(k) for k in part.graph.vertex_key] == [
        key("a", name) for name in part.accounts.to_pylist()
    ]
    inside = [p for p in payments if not windowed or 10 <= p[0] < 90]
    weight: Counter[tuple[bytes, bytes, int]] = Counter()
    count: Counter[tuple[bytes, bytes, int]] = Counter()
    for moment, *ends, amount in inside:
        edge = (key(*ends[:2]), key(*ends[2:]), (moment - 10) // 16 if windowed else 0)
        weight[edge] += amount
        count[edge] += 1
    assert edges_by_key(part) == {edge: (weight[edge], count[edge]) for edge in count}
    owners = {"7": 1, "c": 2, "z": OUTSIDE}
    near = {e for p in inside for e in ((p[1], p[2]), (p[3], p[4])) if e[0] != "a"}
    assert {
        bytes(k): int(o)
        for k, o in zip(part.graph.neighbour_key, part.graph.neighbour_owner, strict=True)
    } == {key(*side): owners[side[0]] for side in near}
    assert part.graph.slices == (5 if windowed else 1)
    paid = {
        (p[1:5], (p[0] - 10) // 16 if windowed else 0)
        for p in inside
        if p[1] == "a" and p[3] != "z"
    }
    assert consortium_edges(part) == len(paid)


@given(payments_of_a)
@settings(max_examples=20, deadline=None)
def test_arrays_have_the_types_and_order_of_the_engine(payments: list[Payment]) -> None:
    """Types are those of LocalGraph and edges are sorted by (slice, source, target)."""
    graph = build_partition(bank_data(payments), "a", BANKS, since=0, slice_us=7).graph
    assert graph.owner == "a"
    assert graph.owners == tuple(BANKS)
    for keys in (graph.vertex_key, graph.neighbour_key):
        assert keys.shape == (len(keys), 32)
        assert keys.dtype == np.uint8
    assert graph.neighbour_owner.dtype == np.int16
    assert {graph.source.dtype, graph.target.dtype, graph.slice.dtype} == {np.dtype(np.int32)}
    assert {graph.weight.dtype, graph.count.dtype} == {np.dtype(np.int64)}
    rows = list(zip(graph.slice, graph.source, graph.target, strict=True))
    assert rows == sorted(rows)


def test_both_banks_of_a_payment_know_the_same_edge() -> None:
    """An edge between two banks stands in both partitions under the same keys, sum and count."""
    payments = [(0, "a", "1", "7", "9", 5), (1, "a", "1", "7", "9", 6), (2, "7", "9", "a", "1", 7)]
    one = build_partition(bank_data(payments), "a", BANKS)
    two = build_partition(bank_data(payments, bank="7"), "07", BANKS)
    assert edges_by_key(one) == edges_by_key(two)
    assert (consortium_edges(one), consortium_edges(two)) == (1, 1)


def test_own_and_self_payments_stand_once() -> None:
    """A payment between two own accounts, or from an account to itself, is one edge."""
    part = build_partition(
        bank_data([(0, "a", "1", "a", "2", 5), (0, "a", "1", "a", "1", 7)]), "a", BANKS
    )
    assert part.graph.source.tolist() == [0, 0]
    assert part.graph.target.tolist() == [0, 1]
    assert part.graph.weight.tolist() == [7, 5]
    assert consortium_edges(part) == 2


def test_what_the_bank_knows_follows_its_account() -> None:
    """Risk, balance and scope stand at their account; an account in payments only has none."""
    accounts = [("B", 0.7, None, True), ("D", 0.2, 40, False)]
    part = build_partition(bank_data([(0, "a", "C", "a", "D", 5)], accounts), "a", BANKS)
    assert part.accounts.to_pylist() == ["B", "C", "D"]
    assert part.risk.tolist() == [0.7, 0.0, 0.2]
    assert part.balance.tolist() == [0, 0, 40]
    assert part.balance_known.tolist() == [False, False, True]
    assert part.in_scope.tolist() == [True, False, False]
    open_scope = build_partition(
        bank_data([(0, "a", "C", "a", "C", 5)], scope_declared=False), "a", BANKS
    )
    assert open_scope.in_scope.tolist() == [True]


def test_payments_before_the_window_move_the_balance() -> None:
    """The balance is that at the start of the window, never below 0, and unknown stays unknown."""
    payments = [
        (1, "z", "x", "a", "in", 30),
        (2, "a", "out", "z", "x", 30),
        (2, "a", "self", "a", "self", 30),
        (2, "z", "x", "a", "unknown", 30),
        (3, "a", "in", "z", "x", 99),
    ]
    accounts = [(name, 0.0, 10, True) for name in ("in", "out", "self")]
    part = build_partition(
        bank_data(payments, [*accounts, ("unknown", 0.0, None, True)]), "a", BANKS, since=3
    )
    assert part.balance.tolist() == [40, 0, 10, 0]
    assert part.balance_known.tolist() == [True, True, True, False]
    assert part.graph.edges == 1


def test_a_bank_without_payments_or_accounts_has_an_empty_partition() -> None:
    """Nothing gives arrays of length 0, isolated accounts give vertices without edges."""
    empty = build_partition(bank_data([]), "a", BANKS)
    assert (empty.graph.vertices, empty.graph.edges, consortium_edges(empty)) == (0, 0, 0)
    assert len(empty.accounts) == 0
    alone = build_partition(bank_data([], [("1", 0.1, None, True)]), "a", BANKS)
    assert (alone.graph.vertices, alone.graph.edges) == (1, 0)


def test_sums_that_do_not_fit_are_refused() -> None:
    """Two payments that fit 64 bits each but not together are an error, not a wrong number."""
    big = 2**62
    data = bank_data([(0, "a", "1", "7", "2", big), (1, "a", "1", "7", "2", big)])
    with pytest.raises(AmountOverflowError):
        build_partition(data, "a", BANKS)


@pytest.mark.parametrize(
    ("bank", "banks", "window", "error"),
    [
        ("a", ["b", "c"], {}, RosterError),
        ("a", ["a", "7", "007"], {}, RosterError),
        ("b", ["a", "b"], {}, RosterError),
        ("a", ["a", "b"], {"since": 5, "until": 5}, WindowError),
        ("a", ["a", "b"], {"slice_us": 5}, WindowError),
        ("a", ["a", "b"], {"since": 0, "slice_us": 0}, WindowError),
        ("a", ["a", "b"], {"since": 0, "until": 10**7, "slice_us": 1}, WindowError),
        ("a", ["a", "b"], {"since": -(10**7), "slice_us": 1}, WindowError),
    ],
)
def test_senseless_requests_are_refused(
    bank: str, banks: list[str], window: dict[str, int], error: type[DataError]
) -> None:
    """A bank outside the list, a list with doubles, and windows without sense have clear errors."""
    with pytest.raises(error):
        build_partition(bank_data([(0, "a", "1", "b", "2", 1)]), bank, banks, **window)
