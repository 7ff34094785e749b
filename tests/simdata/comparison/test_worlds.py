"""The worlds see what they should, and the secure one equals the pooled one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bank_node.errors import ParameterError
from bank_node.ingest import read_bank
from simdata.comparison import Comparison, Judged, SecureRuns, read_labelled, shipped_model
from simdata.comparison.analyses import ANALYSES, PAGERANKS, alone, analyse, pooled
from simdata.comparison.combining import fit_weights
from simdata.comparison.local_signals import LOCAL_SIGNALS, local_signals
from simdata.comparison.payments import Payments, between_banks, seen_by
from simdata.comparison.secure import lay_out
from simdata.comparison.worlds import cross_bank_accounts
from simdata.dataset import bank_folder
from tests.simdata.comparison.conftest import BUDGET

Compared = tuple[Comparison, SecureRuns, Judged]


def without(payments: Payments, rows: np.ndarray) -> Payments:
    """The payments but those at a mask."""
    return payments.take(~rows)


def test_secure_equals_pooled_within_the_stated_accuracy(compared: Compared) -> None:
    """PageRank and round trips keep their bound at every account, and the alerts are the same."""
    judged = compared[2]
    by_name = {one.analysis: one for one in judged.agreement}
    assert set(by_name) == set(ANALYSES)
    for name in ("pagerank", "pagerank-both", "round-trip"):
        assert by_name[name].holds
        assert 0 < by_name[name].stated < 1e-6
    assert by_name["risk-propagation"].largest_error < 1e-6
    assert judged.different_alerts == 0


def test_a_wrong_secure_result_is_noticed(compared: Compared) -> None:
    """One score moved by a thousandth breaks the agreement."""
    from simdata.comparison.agreement import agreements

    comparison, runs, _judged = compared
    results = dict(comparison.results)
    results["secure"] = {k: v.copy() for k, v in results["secure"].items()}
    results["secure"]["round-trip"][3] += 1e-3
    found = agreements(
        comparison.data, comparison.marks, results["secure"], results["pooled"], runs.records
    )
    assert [one.analysis for one in found if not one.holds] == ["round-trip"]


def test_a_bank_alone_does_not_depend_on_payments_that_it_does_not_see(
    compared: Compared,
) -> None:
    """Without any payment between two other banks, the first bank's results alone stay the same.

    The joint results do not.
    """
    comparison = compared[0]
    data, payments, marks = comparison.data, comparison.data.payments, comparison.marks
    hidden = between_banks(data)
    hidden &= (data.bank[payments.source] != 0) & (data.bank[payments.target] != 0)
    assert hidden.any()
    own = data.bank == 0
    for name in ANALYSES:
        before = alone(data, payments, marks)[name][own]
        after = alone(data, without(payments, hidden), marks)[name][own]
        assert np.array_equal(before, after)
    for name in PAGERANKS:
        joint = [pooled(data, p, marks)[name][own] for p in (payments, without(payments, hidden))]
        assert not np.allclose(joint[0], joint[1])


def test_a_bank_alone_does_not_depend_on_balances_of_other_banks(compared: Compared) -> None:
    """With other balances at the other banks, the first bank's results alone stay the same.

    With other balances of its own they do not.
    """
    comparison = compared[0]
    data = comparison.data
    marks = replace(comparison.marks, scope=np.ones(len(data), np.bool_))
    own = data.bank == 0
    before = alone(data, data.payments, marks)["round-trip"][own]
    for touched, is_same in ((~own, True), (own, False)):
        other = replace(data, balance=np.where(touched, data.balance * 3 + 100_000, data.balance))
        after = alone(other, data.payments, marks)["round-trip"][own]
        assert np.array_equal(before, after) == is_same


def test_a_bank_sees_its_cross_bank_payments(folder: Path) -> None:
    """What a bank sees is what stands in its file, no more and no less."""
    data = read_labelled(folder)
    for number, bank in enumerate(data.dataset.banks):
        read = read_bank(bank_folder(folder, bank), bank, base_currency="EUR")
        seen = seen_by(data, data.payments, number)
        assert sorted(seen.tx_id.to_pylist()) == sorted(read.transactions["tx_id"].to_pylist())


def test_each_payment_counts_once(folder: Path) -> None:
    """A cross-bank payment stands in two files and once in the pooled payments."""
    data = read_labelled(folder)
    ids = data.payments.tx_id.to_pylist()
    assert len(ids) == len(set(ids))
    assert between_banks(data).any()


def test_local_signals_are_the_same_in_all_worlds(folder: Path) -> None:
    """Computed from one bank's payments alone, its accounts' signals are those of all payments."""
    data = read_labelled(folder)
    own = data.bank == 1
    everywhere = local_signals(data, data.payments)[own]
    assert np.allclose(everywhere, local_signals(data, seen_by(data, data.payments, 1))[own])


def test_a_worker_gets_the_marks_and_the_balances(compared: Compared, tmp_path: Path) -> None:
    """The folder of the secure runs holds the bank's payments, marks and balances, nothing else."""
    comparison = compared[0]
    data, marks = comparison.data, comparison.marks
    folder = tmp_path / "source"
    for bank in data.dataset.banks:
        bank_folder(folder, bank).mkdir(parents=True)
        (bank_folder(folder, bank) / "transactions.csv").write_text(
            "tx_id,timestamp,from_bank,from_account,to_bank,to_account,amount,currency\n"
        )
    lay_out(tmp_path / "laid", folder, data, marks)
    bank = data.dataset.banks[0]
    read = read_bank(bank_folder(tmp_path / "laid", bank), bank, base_currency="EUR")
    own = data.bank == 0
    assert read.accounts["account"].to_pylist() == [data.account[v] for v in np.flatnonzero(own)]
    assert np.array_equal(read.accounts["risk_score"].to_numpy(), marks.suspicion[own])
    assert np.array_equal(read.accounts["balance"].to_numpy(), data.balance[own])
    assert np.array_equal(
        read.accounts["in_scope"].to_numpy(zero_copy_only=False), marks.scope[own]
    )


def test_marks_are_a_share_of_each_bank(compared: Compared) -> None:
    """Within an account, 20 % of each bank's accounts are suspected and 2 % in scope."""
    comparison = compared[0]
    for bank in range(3):
        own = comparison.data.bank == bank
        for marked, share in (
            (comparison.marks.suspicion > 0, 0.2),
            (comparison.marks.scope, 0.02),
        ):
            assert abs(np.count_nonzero(marked[own]) - share * np.count_nonzero(own)) <= 1


def test_all_worlds_get_the_same_number_of_alerts(compared: Compared) -> None:
    """The rows of a bank differ in what is found, not in the alerts."""
    comparison, _runs, judged = compared
    assert {row["alerts"] for row in judged.overall} == {round(BUDGET * len(comparison.data))}
    for bank in comparison.data.dataset.banks:
        assert len({row["alerts"] for row in judged.banks if row["bank"] == bank}) == 1


def test_found_accounts_of_typologies_and_banks_add_up(compared: Compared) -> None:
    """Accounts found per typology, and per bank, add up to those found."""
    judged = compared[2]
    for row in judged.overall:
        kinds = [r for r in judged.typologies if r["world"] == row["world"]]
        banks = [r for r in judged.banks if r["world"] == row["world"]]
        assert round(sum(r["recall"] * r["accounts"] for r in kinds)) == row["found"]
        assert round(sum(r["recall"] * r["illicit"] for r in banks)) == row["found"]


def test_suspicion_is_the_square_of_the_local_score(compared: Compared) -> None:
    """Who is suspected has the square of the local score, and none below has a higher score."""
    comparison = compared[0]
    local = shipped_model().local.probability(
        local_signals(comparison.data, comparison.data.payments)
    )
    suspected = comparison.marks.suspicion > 0
    assert np.array_equal(comparison.marks.suspicion[suspected], local[suspected] ** 2)
    for bank in range(3):
        own = comparison.data.bank == bank
        assert local[own & suspected].min() >= local[own & ~suspected].max()


def test_money_followed_both_ways_reaches_the_payer(folder: Path) -> None:
    """An account that paid the only suspected one at another bank is reached both ways only."""
    data = read_labelled(folder)
    payments = data.payments
    row = int(np.flatnonzero(between_banks(data))[0])
    payer, payee = int(payments.source[row]), int(payments.target[row])
    one = payments.take(np.array([row]))
    risk = np.where(np.arange(len(data)) == payee, 1.0, 0.0)
    found = analyse(data, one, risk, np.zeros(len(data), np.bool_))
    assert found["pagerank"][payer] == 0
    assert found["pagerank-both"][payer] > 0.2


def test_unlabelled_data_are_refused(tmp_path: Path, folder: Path) -> None:
    """Without an illicit account there is nothing to compare by, and the error says so."""
    (tmp_path / "banks" / "a").mkdir(parents=True)
    with pytest.raises(ParameterError, match="no account is labelled illicit"):
        read_labelled(tmp_path)


def test_a_fit_finds_the_signal_that_tells() -> None:
    """The weight of a signal that is the label is positive, that of noise near zero."""
    rng = np.random.default_rng(1)
    illicit = rng.random(2000) < 0.2
    signals = np.column_stack([illicit + 0.3 * rng.normal(size=2000), rng.normal(size=2000)])
    found = fit_weights(("told", "noise"), signals, illicit)
    assert found.weight[0] > 1.0
    assert abs(found.weight[1]) < 0.5
    assert np.mean(found.probability(signals)[illicit]) > 0.7


def test_an_analysis_never_excuses() -> None:
    """A graph analysis that goes with innocence gets weight 0, a local signal a negative one."""
    rng = np.random.default_rng(2)
    illicit = rng.random(2000) < 0.2
    against = (~illicit + 0.3 * rng.normal(size=2000))[:, None]
    assert fit_weights(("pagerank",), against, illicit).weight == (0.0,)
    assert fit_weights((LOCAL_SIGNALS[1],), against, illicit).weight[0] < 0


def test_the_shipped_model_is_read_as_it_was_written(tmp_path: Path) -> None:
    """A model survives its text; another file is refused with the remedy."""
    from simdata.comparison import load_model

    (tmp_path / "model.json").write_text(shipped_model().to_json())
    assert load_model(tmp_path / "model.json") == shipped_model()
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ParameterError, match=r"Give a model\.json"):
        load_model(tmp_path / "other.json")


def test_cross_bank_accounts_are_known_without_a_list_of_scheme_payments(folder: Path) -> None:
    """Without the list, payments between two illicit accounts count, those of the list too."""
    data = read_labelled(folder)
    listed = cross_bank_accounts(data)
    unlisted = cross_bank_accounts(replace(data, labels=replace(data.labels, scheme_tx=None)))
    assert listed.any()
    assert np.all(unlisted[listed])
    assert not np.any(unlisted & ~data.labels.illicit)
