"""The generator makes what its settings say: typologies, banks, cuts, look-alikes, scores."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from bank_node.errors import DataError, ParameterError
from bank_node.ingest import read_bank
from simdata.dataset import bank_folder, read_dataset
from simdata.generator import (
    PRESETS,
    TYPOLOGIES,
    GeneratorConfig,
    build_dataset,
    config_toml,
    find_preset,
    read_config,
)
from simdata.generator.build import simulate
from simdata.generator.config import LookAlikes
from simdata.generator.launder import _split
from simdata.generator.payments import CASH, DAY
from simdata.generator.risk import risk_scores
from simdata.generator.tables import Simulation


@pytest.fixture(scope="module")
def world() -> Simulation:
    """Six thousand accounts, a tenth of them in schemes."""
    changes = {
        "size": {"accounts": 6000, "banks": 4, "days": 60},
        "laundering": {"illicit": 0.1, "cross_bank": 0.8},
    }
    return simulate(read_config(changes=changes), 5)


def test_every_typology_of_the_list_occurs_and_is_labelled(tmp_path: Path) -> None:
    """The smallest preset has all eleven typologies, in the labels of accounts and of payments."""
    out = tmp_path / "data"
    build_dataset(out, find_preset("small"), 3)
    labels = pq.read_table(out / "labels" / "accounts.parquet")
    marked = labels.filter(labels["is_illicit"])
    assert set(marked["typology"].to_pylist()) == set(TYPOLOGIES)
    patterns = pq.read_table(out / "labels" / "patterns.parquet")
    assert set(patterns["pattern"].to_pylist()) == set(marked["pattern"].to_pylist())
    named = dict(zip(marked["pattern"].to_pylist(), marked["typology"].to_pylist(), strict=True))
    assert all(named[row["pattern"]] == row["typology"] for row in patterns.to_pylist())


@pytest.mark.parametrize("name", TYPOLOGIES)
@pytest.mark.parametrize("draw", range(20))
def test_a_shape_keeps_its_rules(name: str, draw: int) -> None:
    """Money flows on: out at one hop, after all hops in; all members are reached; no self-steps."""
    typology = TYPOLOGIES[name]
    rng = np.random.default_rng(draw)
    shape = typology.draw(rng, int(rng.integers(typology.least, typology.high + 1)))
    assert set(shape.source) | set(shape.target) == set(range(shape.members))
    assert (shape.source != shape.target).all()
    pairs = list(zip(shape.source.tolist(), shape.target.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)
    entries = set(shape.entries.tolist())
    for member in range(shape.members):
        out = set(shape.hop[shape.source == member].tolist())
        into = shape.hop[shape.target == member].tolist()
        assert len(out) <= 1
        assert member in entries or into
        if out and member not in entries:
            assert max(into) < min(out)
        if name != "cycle" and member in entries:
            assert not into


@pytest.mark.parametrize(
    ("name", "holds"),
    [
        ("fan-in", lambda s: len(set(s.target)) == 1 and len(s.hop) == s.members - 1),
        ("fan-out", lambda s: len(set(s.source)) == 1 and len(s.hop) == s.members - 1),
        ("cycle", lambda s: s.target[-1] == s.source[0] and len(s.hop) == s.members),
        ("chain", lambda s: len(s.hop) == s.members - 1 == s.hop.max()),
        ("bipartite", lambda s: not set(s.source) & set(s.target) and s.hop.max() == 1),
        ("stack", lambda s: s.hop.max() >= 2 and bool(set(s.source) & set(s.target))),
        ("scatter-gather", lambda s: s.hop.tolist().count(1) == s.hop.tolist().count(2)),
        ("gather-scatter", lambda s: len(set(s.target[s.hop == 1])) == 1 and s.hop.max() == 2),
        ("structuring", lambda s: len(set(s.target)) == 1),
        ("funnel", lambda s: (s.hop == 2).sum() == 1 and (s.hop == 1).sum() == s.members - 2),
        ("random", lambda s: len(s.hop) >= s.members - 1),
    ],
)
def test_a_shape_is_what_its_name_says(name: str, holds: Callable[[Any], bool]) -> None:
    """Each typology has the form that gives it its name."""
    for draw in range(20):
        typology = TYPOLOGIES[name]
        assert holds(typology.draw(np.random.default_rng(draw), typology.high))


def test_each_mule_keeps_its_cut(world: Simulation) -> None:
    """Whoever receives and passes on keeps 3 to 10 % of what came in, as the settings say."""
    p, cut = world.payments, world.config.laundering.cut
    inside = p.scheme >= 0
    n = len(world.people)
    into = np.bincount(p.payee[inside], p.amount[inside], n)
    real = inside & (p.payer != CASH)
    out = np.bincount(p.payer[real], p.amount[real], n)
    entry = np.zeros(n, bool)
    entry[world.plan.account[world.plan.entry]] = True
    passing = (out > 0) & (into > 0) & ~entry
    kept = 1 - out[passing] / into[passing]
    assert passing.sum() > 100
    assert (kept > cut.low - 0.001).all()
    assert (kept < cut.high + 0.001).all()


def test_money_moves_on_after_it_came_and_inside_the_window(world: Simulation) -> None:
    """No account of a scheme passes money on before the first of it came; all is in the window."""
    p = world.payments
    inside = np.flatnonzero(p.scheme >= 0)
    assert p.second.min() >= 0
    assert p.second.max() < world.config.size.days * DAY
    assert (np.diff(p.second) >= 0).all()
    first_in = np.full(len(world.people), 2**31)
    np.minimum.at(first_in, p.payee[inside], p.second[inside])
    middle = inside[p.hop[inside] >= 2]
    assert len(middle) > 100
    assert (p.second[middle] >= first_in[p.payer[middle]]).all()


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9, 1.0])
def test_the_share_of_cross_bank_steps_is_as_set(share: float) -> None:
    """Of the steps of all schemes, the share set leads to another bank, within 5 points."""
    changes = {"size": {"accounts": 6000, "banks": 6}, "laundering": {"cross_bank": share}}
    crossing = []
    for seed in range(4):
        world = simulate(read_config(changes=changes), seed)
        bank = world.people.bank[world.plan.account]
        crossing.append(float(np.mean(bank[world.plan.source] != bank[world.plan.target])))
    assert np.mean(crossing) == pytest.approx(share, abs=0.05)


def test_an_account_is_in_one_scheme_at_most(world: Simulation) -> None:
    """Members are drawn without replacement, and none is a look-alike."""
    members = world.plan.account
    assert len(np.unique(members)) == len(members)
    assert (world.people.lookalike[members] < 0).all()
    assert len(members) == pytest.approx(600, abs=20)


def test_structuring_and_funnels_stay_below_the_limit(world: Simulation) -> None:
    """All their payments are below the reporting limit, most deposits of structuring near it."""
    p = world.payments
    typology = np.array([*world.plan.typology, ""])
    limit = world.config.laundering.limit * 100
    below = np.isin(typology[p.scheme], ["structuring", "funnel"])
    assert p.amount[below].max() < limit
    smurfed = (typology[p.scheme] == "structuring") & (p.payer == CASH)
    assert np.median(p.amount[smurfed]) > 0.5 * limit


def test_a_low_limit_means_more_payments_not_larger_ones() -> None:
    """Amounts of hundreds of limits are divided until every payment is below."""
    laundering = {"limit": 200, "typologies": {"structuring": 1.0, "funnel": 1.0}}
    p = simulate(read_config(changes={"laundering": laundering}), 1).payments
    illicit = p.amount[p.scheme >= 0]
    assert illicit.max() < 200 * 100
    assert np.median(illicit) > 0.5 * 200 * 100


def test_no_part_reaches_the_limit_however_the_parts_fall() -> None:
    """Four parts of nine tenths of the limit on average: one above it makes all of them equal."""
    amount, parts = np.full(200_000, 3.6e6), np.full(200_000, 4)
    for most, reached in ((1e6, False), (np.inf, True)):
        limits = np.full(len(amount), most)
        whole, cents = _split(np.random.default_rng(1), amount, parts, limits)
        assert bool((cents >= 1e6).any()) == reached
        assert np.bincount(whole, cents) == pytest.approx(amount, abs=4)


def test_a_long_chain_counts_its_hops() -> None:
    """No hop number runs over: each follows the one before, up to the last."""
    laundering = {"schemes": 1, "typologies": {"chain": 1.0}, "members": {"chain": (160, 160)}}
    p = simulate(read_config(changes={"laundering": laundering}), 1).payments
    assert set(p.hop[p.scheme >= 0].tolist()) - {0} == set(range(1, 160))


def test_a_window_may_end_with_the_calendar(tmp_path: Path) -> None:
    """The last window that the settings allow is written."""
    size = {"start": date(9999, 12, 1), "days": 30, "accounts": 300}
    build_dataset(tmp_path / "x", read_config(changes={"size": size}), 1)
    assert read_dataset(tmp_path / "x").last is not None


def test_the_typologies_wanted_are_the_only_ones() -> None:
    """Weights decide how often each is used; those not named are not."""
    changes = {
        "size": {"accounts": 3000},
        "laundering": {"schemes": 40, "typologies": {"cycle": 3.0, "funnel": 1.0}},
    }
    names = simulate(read_config(changes=changes), 1).plan.typology
    assert (names.count("cycle"), names.count("funnel")) == (30, 10)


def test_numbers_of_members_can_be_set() -> None:
    """A typology takes its size from the settings."""
    laundering = {"schemes": 10, "typologies": {"chain": 1.0}, "members": {"chain": (12, 12)}}
    plan = simulate(read_config(changes={"laundering": laundering}), 1).plan
    assert len(plan.account) == 120
    assert plan.hop.max() == 11


def test_look_alikes_have_the_form_of_their_twins(world: Simulation) -> None:
    """Landlords are paid by many, payrolls pay many, shops pay in cash; all are innocent."""
    p = world.payments
    kinds = {name: i for i, name in enumerate(LookAlikes.model_fields)}

    def partners(kind: str, *, incoming: bool) -> float:
        who = np.flatnonzero(world.people.lookalike == kinds[kind])
        mine, other = (p.payee, p.payer) if incoming else (p.payer, p.payee)
        return float(np.median([len(np.unique(other[mine == a])) for a in who]))

    ordinary = np.flatnonzero(world.people.lookalike < 0)[:200]
    usual = np.median([len(np.unique(p.payer[p.payee == a])) for a in ordinary])
    assert partners("landlords", incoming=True) > 4 * usual
    assert partners("payroll", incoming=False) > 10
    assert partners("marketplaces", incoming=True) > 20
    shops = np.flatnonzero(world.people.lookalike == kinds["cash_shops"])
    deposits = (p.payer == CASH) & np.isin(p.payee, shops) & (p.scheme < 0)
    assert deposits.sum() > 10 * len(shops)
    circle = np.flatnonzero(world.people.lookalike == kinds["savings_circles"])
    pots = np.isin(p.payer, circle) & np.isin(p.payee, circle)
    assert pots.sum() >= len(circle) - 6
    assert (p.scheme[np.isin(p.payer, circle)] < 0).all()


def test_look_alikes_are_told_apart_from_launderers(tmp_path: Path) -> None:
    """labels/lookalikes names them with their kind, and no account that is illicit."""
    build_dataset(tmp_path / "x", read_config(changes={"size": {"accounts": 6000}}), 1)
    alike = pq.read_table(tmp_path / "x" / "labels" / "lookalikes.parquet")
    labels = pq.read_table(tmp_path / "x" / "labels" / "accounts.parquet")
    illicit = set(labels.filter(labels["is_illicit"])["account"].to_pylist())
    assert not illicit & set(alike["account"].to_pylist())
    assert set(alike["kind"].to_pylist()) == {
        name.replace("_", "-") for name in LookAlikes.model_fields
    }


def test_scores_know_no_label(world: Simulation) -> None:
    """The same payments without what the generator knows of schemes give the same scores."""
    p = world.payments
    blind = replace(p, scheme=np.full_like(p.scheme, -1), hop=np.full_like(p.hop, -1))
    scores = [
        risk_scores(np.random.default_rng(1), payments, len(world.people), 1e6, world.config.risk)
        for payments in (p, blind)
    ]
    assert (scores[0] == scores[1]).all()


def test_scores_err_as_stated(world: Simulation) -> None:
    """Deposits near the limit raise a score, unless overlooked; a few alarms are false."""
    n, risk = len(world.people), world.config.risk
    typology = np.array([*world.plan.typology, ""])
    smurfs = np.unique(
        world.payments.payee[
            (typology[world.payments.scheme] == "structuring") & (world.payments.payer == CASH)
        ]
    )
    scores = risk_scores(np.random.default_rng(1), world.payments, n, 1e6, risk)
    silent = risk.model_copy(update={"cash": 0.0, "velocity": 0.0, "structuring": 0.0})
    without = risk_scores(np.random.default_rng(1), world.payments, n, 1e6, silent)
    assert len(smurfs) > 20
    assert np.mean(scores[smurfs] == without[smurfs]) == pytest.approx(risk.missed, abs=0.15)
    assert np.mean(scores[smurfs] > 0.4) > 0.6
    assert np.mean(without > 0.4) == pytest.approx(risk.false_alarms, abs=0.006)
    assert ((scores >= 0) & (scores <= 1)).all()


def test_no_balance_falls_below_zero(tmp_path: Path) -> None:
    """Payment by payment, every account has what it pays: as its node would keep the balance."""
    out = tmp_path / "x"
    build_dataset(out, read_config(changes={"size": {"accounts": 900}}), 4)
    for bank in read_dataset(out).banks:
        data = read_bank(bank_folder(out, bank), bank, base_currency="EUR")
        names, rows = data.accounts["account"], data.transactions
        lowest = np.array(data.accounts["balance"].to_pylist(), np.int64)
        running = lowest.copy()
        sides = []
        for bank_column, account, sign in (
            ("to_bank", "to_account", 1),
            ("from_bank", "from_account", -1),
        ):
            own = pc.equal(rows[bank_column], bank).to_numpy(zero_copy_only=False)
            place = pc.index_in(rows[account], names.combine_chunks()).to_numpy(
                zero_copy_only=False
            )
            sides.append((own, place, sign))
        amounts, moments = rows["amount"].to_numpy(), rows["timestamp"].to_numpy()
        for moment in np.unique(moments):  # all of one second together
            now = slice(*np.searchsorted(moments, [moment, moment + 1]))
            for own, place, sign in sides:
                np.add.at(running, place[now][own[now]].astype(int), sign * amounts[now][own[now]])
            lowest = np.minimum(lowest, running)
        assert lowest.min() >= 0


def test_payments_follow_weekdays_and_hours(world: Simulation) -> None:
    """Companies hardly pay on Sundays, shops are busiest on Saturdays, few pay at night."""
    p = world.payments
    weekday = (p.second // DAY + world.config.size.start.weekday()) % 7
    hour = p.second % DAY // 3600
    wire, card = p.channel == 0, p.channel == 2
    both = world.people.company[p.payer] & world.people.company[p.payee] & (p.payer != CASH)
    supplies = np.bincount(weekday[wire & both], minlength=7)
    shopping = np.bincount(weekday[card], minlength=7)
    assert supplies[6] < 0.1 * supplies[0]
    assert np.argmax(shopping) == 5
    assert np.mean(hour[card] < 6) < 0.02


def test_numbers_of_payments_are_as_asked() -> None:
    """Payments without look-alikes and schemes are accounts times payments_per_account."""
    changes = {"size": {"accounts": 5000, "payments_per_account": 8.0},
               "lookalikes": dict.fromkeys(LookAlikes.model_fields, 0.0)}  # fmt: skip
    p = simulate(read_config(changes=changes), 1).payments
    assert int((p.scheme < 0).sum()) == 40_000


def test_a_part_has_a_stream_of_its_own() -> None:
    """Other schemes leave ordinary payments as they are."""
    few, many = (
        simulate(read_config(changes={"laundering": {"illicit": share}}), 6).payments
        for share in (0.0, 0.1)
    )
    plain = many.take(np.flatnonzero(many.scheme < 0))
    assert len(few) == len(plain)
    assert (few.amount == plain.amount).all()
    assert (few.second == plain.second).all()


# --- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "accounts", "payments", "banks"),
    [
        ("small", 3_000, 30_000, 3),
        ("medium", 20_000, 240_000, 5),
        ("large", 1_000_000, 10_000_000, 10),
        ("low-illicit", 50_000, 600_000, 5),
    ],
)
def test_presets_have_the_sizes_that_the_documentation_states(
    name: str, accounts: int, payments: int, banks: int
) -> None:
    """Accounts, ordinary payments and banks of each preset."""
    size = find_preset(name).size
    assert (size.accounts, size.banks) == (accounts, banks)
    assert size.accounts * size.payments_per_account == payments
    text = (Path(__file__).parents[2] / "docs" / "data-sets.md").read_text()
    (line,) = [row for row in text.splitlines() if row.startswith(f"| `{name}` ")]
    assert f"{accounts:,}" in line
    assert f"{payments:,}" in line


def test_low_illicit_has_few_launderers() -> None:
    """Two accounts in a thousand, a tenth of any other preset or less."""
    shares = {name: find_preset(name).laundering.illicit for name in PRESETS}
    assert shares["low-illicit"] == 0.002
    assert all(
        shares["low-illicit"] <= 0.2 * share for n, share in shares.items() if n != "low-illicit"
    )


def test_settings_come_back_from_their_own_toml(tmp_path: Path) -> None:
    """What the generator writes about its settings gives the same settings, and the same bytes."""
    config = read_config(changes={"laundering": {"members": {"chain": (5, 6)}, "schemes": 9}})
    path = tmp_path / "c.toml"
    path.write_text(config_toml(config))
    assert read_config(path) == config
    build_dataset(tmp_path / "a", config, 1)
    again = read_config(tmp_path / "a" / "generator.toml")
    build_dataset(tmp_path / "b", again, 1)
    one, two = (
        {
            f.relative_to(tmp_path / d): f.read_bytes()
            for f in (tmp_path / d).rglob("*")
            if f.is_file()
        }
        for d in ("a", "b")
    )
    assert one == two


def test_a_file_changes_what_it_names_and_options_win(tmp_path: Path) -> None:
    """Preset, then file, then single settings; what a file does not name stays."""
    path = tmp_path / "c.toml"
    path.write_text(
        'preset = "medium"\n[size]\ndays = 10\nbanks = 4\n[laundering.cut]\nlow = 0.01\n'
    )
    config = read_config(path, None, {"size": {"banks": 7}})
    assert (config.size.accounts, config.size.days, config.size.banks) == (20_000, 10, 7)
    assert (config.laundering.cut.low, config.laundering.cut.high) == (0.01, 0.10)
    assert read_config(path, "small").size.accounts == 3000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[size]\nbanks = 0", "size.banks"),
        ("[size]\nbanks = 400", "too few for 400 banks"),
        ("[size]\ncolour = 1", "size.colour"),
        ("[laundering]\ncross_bank = 1.5", "cross_bank"),
        ("[laundering]\nschemes = 900", "do not fit"),
        ("[laundering.typologies]\nladder = 1", "ladder is none of"),
        ("[laundering.typologies]\ncycle = 0", "one of them above 0"),
        ("[laundering.members]\ncycle = [1, 3]", "cycle needs 2 to 200"),
        ("[laundering.cut]\nlow = 0.5\nhigh = 0.1", "above high"),
        ("[laundering.cut]\nlow = 0.5\nhigh = 1.0", "keep everything"),
        ("[laundering]\nlimit = 10", "limit: 10 is too small .* give 17 or more"),
        ("[size]\nstart = 9999-12-31", "30 days from 9999-12-31 end after"),
        ("[laundering.parts]\nlow = 0\nhigh = 2", "1 to 20"),
        (
            "[behaviour]\nshopping = 0\ntransfers = 0\nsuppliers = 0\ncash = 0\nlarge = 0",
            "all zero",
        ),
        ("[risk]\nnoise = nan", "noise"),
        ('preset = "huge"', "no preset huge"),
        ("preset = 3", "not a name"),
        ("size = ", "toml"),
    ],
)
def test_senseless_settings_are_one_clear_line(tmp_path: Path, text: str, words: str) -> None:
    """The line names the setting and what is wrong."""
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(DataError, match=words) as caught:
        read_config(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_negative_seed_are_told(tmp_path: Path) -> None:
    """Both before anything is written."""
    with pytest.raises(DataError, match="no such file"):
        read_config(tmp_path / "none.toml")
    with pytest.raises(ParameterError, match="negative"):
        build_dataset(tmp_path / "x", GeneratorConfig(), -1)
    assert list(tmp_path.iterdir()) == []
