"""All nodes make the same small world from the seed, each its own part."""

import hashlib
from pathlib import Path

import networkx as nx
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pytest

from bank_node.errors import RosterError, WindowError
from bank_node.ingest import BankData, read_bank
from bank_node.operation.rehearsal import REHEARSAL_CURRENCY, rehearsal_data
from bank_node.partition import build_partition

BANKS = ["bank-a", "bank-b", "007"]
DAY = 86_400_000_000
SINCE, UNTIL = 20_000 * DAY, 20_030 * DAY


def part(bank: str, seed: str = "run-1", accounts: int = 200) -> BankData:
    """Return one bank's part."""
    return rehearsal_data(seed, BANKS, bank, since=SINCE, until=UNTIL, accounts=accounts)


def between(data: BankData, payer: str, payee: str) -> pa.Table:
    """Return the payments from one bank to another."""
    table = data.transactions
    from_payer = pc.equal(table["from_bank"], payer)
    return table.filter(pc.and_(from_payer, pc.equal(table["to_bank"], payee)))


def test_both_banks_know_the_same_payments_between_them() -> None:
    """A payment between two banks stands in both parts, with the same id, time and amount."""
    a, b = part("bank-a"), part("bank-b")
    for payer, payee in (("bank-a", "bank-b"), ("bank-b", "bank-a")):
        assert between(a, payer, payee).num_rows > 50
        assert between(a, payer, payee).equals(between(b, payer, payee))


def test_a_part_holds_own_payments_only() -> None:
    """Every payment of a part has one of the bank's own accounts on a side."""
    for bank, canonical in (("bank-a", "bank-a"), ("007", "7")):
        table = part(bank).transactions
        sides = pc.or_(
            pc.equal(table["from_bank"], canonical), pc.equal(table["to_bank"], canonical)
        )
        assert pc.all(sides).as_py()
        own = set(part(bank).accounts["account"].to_pylist())
        payers = table.filter(pc.equal(table["from_bank"], canonical))["from_account"]
        assert set(payers.to_pylist()) <= own


def test_the_world_is_the_same_with_every_library() -> None:
    """The bytes of the world are fixed: nodes with other versions of numpy make the same."""
    text = part("bank-b").transactions.drop_columns(["channel"]).to_pylist()
    digest = hashlib.sha256(repr([tuple(row.values()) for row in text]).encode()).hexdigest()
    assert digest == "370fa277bac198d4e51efcc44d9f2353f78f5a9d962005254715027c026a35db"


def test_another_seed_is_another_world() -> None:
    """Two rehearsals share neither payments nor scores."""
    one, two = part("bank-a"), part("bank-a", "run-2")
    assert not one.transactions.equals(two.transactions)
    assert not one.accounts["risk_score"].equals(two.accounts["risk_score"])


def test_ids_are_unique_and_payments_lie_in_the_window() -> None:
    """No payment or account has the id of another one, and no payment is outside the window."""
    parts = [part(bank) for bank in BANKS]
    ids = pa.concat_tables([p.accounts.select(["account"]) for p in parts])["account"]
    assert len(ids.unique()) == 600
    for p in parts:
        assert len(p.transactions["tx_id"].unique()) == p.transactions.num_rows
        times = p.transactions["timestamp"].to_numpy()
        assert times.min() >= SINCE
        assert times.max() < UNTIL
        assert np.all(np.diff(times) >= 0)
        assert pc.min(p.transactions["amount"]).as_py() > 0


def test_the_part_is_what_ingest_would_read(tmp_path: Path) -> None:
    """Written as a bank's files and read as those are, a part comes back as it was."""
    made = part("007")
    bank = made.transactions
    amounts = pc.divide(pc.cast(bank["amount"], pa.float64()), 100.0)
    when = pc.strftime(pc.cast(bank["timestamp"], pa.timestamp("us", "UTC")), "%Y-%m-%dT%H:%M:%SZ")
    files = bank.set_column(1, "timestamp", when).set_column(6, "amount", amounts)
    currency = pa.array([REHEARSAL_CURRENCY] * bank.num_rows)
    pa_csv.write_csv(files.append_column("currency", currency), tmp_path / "transactions.csv")
    balance = pc.divide(pc.cast(made.accounts["balance"], pa.float64()), 100.0)
    pa_csv.write_csv(made.accounts.set_column(5, "balance", balance), tmp_path / "accounts.csv")
    read = read_bank(tmp_path, "007")
    assert read.counts.rejected_rows == 0
    assert read.accounts.equals(made.accounts)
    by_id = [("tx_id", "ascending")]
    names = [n for n in bank.column_names if n != "timestamp"]
    ours, theirs = (t.sort_by(by_id).select(names) for t in (bank, read.transactions))
    assert ours.equals(theirs)


def test_money_goes_round_across_banks() -> None:
    """Money comes back to its accounts through all three banks, and a few accounts have risk."""
    parts = [part(bank) for bank in BANKS]
    payments = pa.concat_tables([p.transactions for p in parts])
    graph: nx.DiGraph = nx.DiGraph()
    payers, payees = (payments[f"{side}_account"].to_pylist() for side in ("from", "to"))
    graph.add_edges_from(zip(payers, payees, strict=True))
    round_about = max(nx.strongly_connected_components(graph), key=len)
    for p in parts:
        own = p.accounts["account"].to_pylist()
        assert len(round_about.intersection(own)) > 150
        assert 5 < pc.sum(pc.greater(p.accounts["risk_score"], 0)).as_py() < 40


def test_every_bank_can_build_its_partition() -> None:
    """The parts are data like others: the engine's input can be built from them, slice by slice."""
    for bank in BANKS:
        built = build_partition(part(bank), bank, BANKS, since=SINCE, until=UNTIL, slice_us=DAY)
        assert len(built.accounts) == 200
        assert built.graph.slices == 30
        assert built.only_in_payments == 0


@pytest.mark.parametrize("accounts", [1, 3, 19, 21])
def test_a_world_can_be_tiny(accounts: int) -> None:
    """A world of one account per bank is one, too."""
    data = part("bank-a", accounts=accounts)
    assert data.accounts.num_rows == accounts
    assert data.counts.transactions == data.transactions.num_rows > 0


def test_a_window_of_a_microsecond_is_enough() -> None:
    """All payments lie in the only microsecond there is."""
    data = rehearsal_data("s", BANKS, "bank-a", since=5, until=6)
    assert set(data.transactions["timestamp"].to_pylist()) == {5}


def test_what_cannot_be_is_said() -> None:
    """A bank that is not in the list and an empty window are errors with a remedy."""
    with pytest.raises(RosterError):
        rehearsal_data("s", BANKS, "bank-x", since=0, until=1)
    with pytest.raises(WindowError):
        rehearsal_data("s", BANKS, "bank-a", since=1, until=1)
