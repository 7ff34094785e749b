"""The ledger: no bank learns more in a period than agreed, whoever charges at the same time."""

import multiprocessing
import pickle
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from bank_node.store import audit, ledger
from bank_node.store.database import Database
from bank_node.store.errors import BudgetExceeded, ConflictError
from bank_node.store.tables import LedgerRow

BUDGETS = {"alba": 1000, "brio": 500}
MONTH = "2026-11"


def charge(database: Database, run_id: str, bits: dict[str, int], **changes) -> None:
    """Charge a run in a transaction of its own."""
    options = {"attempt": 1, "period": MONTH, "budgets": BUDGETS, "at": 5} | changes
    with database.begin() as session:
        ledger.charge(session, run_id, bits_per_bank=bits, **options)


def spent(database: Database, period: str = MONTH) -> dict[str, int]:
    """Return what was charged to each bank."""
    with database.read() as session:
        return ledger.spent(session, period)


def test_charges_add_up_per_bank_and_period(database):
    """Runs and attempts of a period add up; another period starts at nothing."""
    charge(database, "r1", {"alba": 300, "brio": 100})
    charge(database, "r1", {"alba": 300, "brio": 100}, attempt=2)
    charge(database, "r2", {"alba": 400}, period="2026-12")
    assert spent(database) == {"alba": 600, "brio": 200}
    assert spent(database, "2026-12") == {"alba": 400}
    with database.read() as session:
        assert ledger.left(session, MONTH, BUDGETS) == {"alba": 400, "brio": 300}
        assert [(c.run_id, c.attempt, c.bank) for c in ledger.charges(session, period=MONTH)] == [
            ("r1", 2, "brio"),
            ("r1", 2, "alba"),
            ("r1", 1, "brio"),
            ("r1", 1, "alba"),
        ]


def test_a_budget_may_be_used_up_but_not_exceeded(database):
    """The last bit may be spent; one more is refused with bank, period, asked and left."""
    charge(database, "r1", {"alba": 1000})
    with pytest.raises(BudgetExceeded) as caught:
        charge(database, "r2", {"alba": 1})
    error = caught.value
    assert (error.bank, error.period, error.asked, error.left) == ("alba", MONTH, 1, 0)
    assert error.exit_code == 3
    assert "1 bits to alba, and 0 bits of its budget for 2026-11 are left" in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.left) == (str(error), 0)


def test_a_run_is_charged_to_all_banks_or_to_none(database):
    """If one bank's budget does not suffice nothing is charged to the others."""
    with pytest.raises(BudgetExceeded, match="brio"):
        charge(database, "r1", {"alba": 10, "brio": 501})
    assert spent(database) == {}


def test_a_bank_without_a_budget_learns_nothing(database):
    """A bank that the agreement gives no budget cannot be charged; nothing at all can."""
    with pytest.raises(BudgetExceeded, match="calm"):
        charge(database, "r1", {"calm": 1})
    charge(database, "r1", {"calm": 0})
    assert spent(database) == {"calm": 0}


def test_charging_an_attempt_again_changes_nothing(database):
    """A node that restarts may charge once more; a bank that was missing is added."""
    for bits in ({"alba": 900}, {"alba": 900}, {"alba": 900, "brio": 7}):
        charge(database, "r1", bits)
    assert spent(database) == {"alba": 900, "brio": 7}


@pytest.mark.parametrize(("bits", "period"), [(2, MONTH), (1, "2026-12")])
def test_an_attempt_is_not_charged_otherwise(database, bits, period):
    """The bound of an attempt and its period do not change."""
    charge(database, "r1", {"alba": 1})
    with pytest.raises(ConflictError):
        charge(database, "r1", {"alba": bits}, period=period)
    assert spent(database) == {"alba": 1}


def test_nothing_is_given_back(database):
    """A negative charge is refused."""
    with pytest.raises(ValueError, match="negative"):
        charge(database, "r1", {"alba": -1})


def test_a_label_of_its_own_resets_a_budget_and_the_same_carries_it(database):
    """What a new agreement says of budgets is a matter of the period's label."""
    charge(database, "r1", {"alba": 900})
    charge(database, "r2", {"alba": 900}, period=f"{MONTH}/v2")
    with pytest.raises(BudgetExceeded):
        charge(database, "r3", {"alba": 900})


def test_charge_and_entry_are_one_transaction(database):
    """A charge whose audit entry is not written is not there."""

    def fail():
        with database.begin() as session:
            ledger.charge(session, "r1", 1, {"alba": 1}, MONTH, BUDGETS, 5)
            audit.append(session, at=5, actor="alba", action="run.ready", details={"x": object()})

    with pytest.raises(Exception, match="JSON"):
        fail()
    assert spent(database) == {}


def test_large_charges_are_summed_exactly(database):
    """A budget of 2^62 bits is kept to the last bit: sums are integers on both databases."""
    budget = {"alba": 2**62}
    charge(database, "r1", {"alba": 2**62 - 1}, budgets=budget)
    with pytest.raises(BudgetExceeded):
        charge(database, "r2", {"alba": 2}, budgets=budget)
    assert spent(database) == {"alba": 2**62 - 1}


def charge_until_refused(url: str, who: int) -> int:
    """Charge 7 bits again and again, and return how often that was possible."""
    database = Database.open(url)
    done = 0
    try:
        while True:
            charge(database, f"{who}-{done}", {"alba": 7, "brio": 1})
            done += 1
    except BudgetExceeded:
        return done
    finally:
        database.close()


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_charges_at_the_same_time_never_exceed_the_budget(url, kind):
    """Two that charge at once get together exactly what fits into the budget."""
    Database.open(url).close()
    context = multiprocessing.get_context("spawn")
    pool: Executor = (
        ThreadPoolExecutor(2) if kind == "threads" else ProcessPoolExecutor(2, mp_context=context)
    )
    with pool:
        counts = list(pool.map(charge_until_refused, [url] * 2, range(2)))
    assert sum(counts) == 1000 // 7
    database = Database.open(url)
    assert spent(database) == {"alba": 1000 // 7 * 7, "brio": 1000 // 7}
    database.close()


steps = st.tuples(
    st.integers(1, 3),
    st.integers(1, 2),
    st.dictionaries(st.sampled_from(["alba", "brio"]), st.integers(0, 600), max_size=2),
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(steps, max_size=8))
def test_the_ledger_does_what_a_plain_sum_does(database, order):
    """Any sequence of charges leaves what a dictionary of the accepted ones adds up to."""
    with database.begin() as session:
        session.execute(delete(LedgerRow))
    there: dict[tuple[int, int, str], int] = {}
    for run, attempt, bits in order:
        known = {bank: there.get((run, attempt, bank)) for bank in bits}
        differs = any(known[bank] not in (None, n) for bank, n in bits.items())
        new = {bank: n for bank, n in bits.items() if known[bank] is None}
        totals = {b: sum(n for (_, _, c), n in there.items() if c == b) for b in BUDGETS}
        fits = all(totals[bank] + n <= BUDGETS[bank] for bank, n in new.items())
        try:
            charge(database, f"r{run}", bits, attempt=attempt)
            accepted = True
        except (BudgetExceeded, ConflictError):
            accepted = False
        assert accepted == (fits and not differs)
        if accepted:
            there |= {(run, attempt, bank): n for bank, n in new.items()}
    wanted = {b: sum(n for (_, _, c), n in there.items() if c == b) for _, _, b in there}
    assert spent(database) == wanted
