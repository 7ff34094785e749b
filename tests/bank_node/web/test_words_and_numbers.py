"""Amounts, scores, depths, days and plural forms, as a reader sees them on the pages."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bank_node.desk import TraceNote, TracePage
from bank_node.intake.days import DayFile
from bank_node.store import results
from bank_node.store import runs as run_table
from bank_node.store.tables import RunRow
from bank_node.web import operation_checkup
from bank_node.web.attached_trace import attached_table
from bank_node.web.charts import flow_chart, value_charts
from bank_node.web.picture_graph import Wish, graph_of
from bank_node.web.picture_reached import reached_by
from bank_node.web.run_view import parameters_told
from bank_node.web.trace_view import Slices, picture_words, rows_of
from bank_node.web.words import Words, words_for
from tests.bank_node.desk_world import ANN, DAY, MARCH, NOW, OWN, TRACE, SmallOffice, stored_run
from tests.bank_node.web.test_picture import table, trace

Visit = Callable[[str], Any]
ENGLISH = words_for("en", ("en", "en_GB"), "EUR", 2)
DUTCH = words_for("nl", ("nl", "nl_NL"), "EUR", 2)


def attach(made: SmallOffice, run_id: str) -> int:
    """Attach a trace to a case of ann's."""
    change = made.desk.take_next(ANN, "mine")
    assert change is not None
    case = change.case
    made.desk.attach(ANN, case.id, case.version, run_id, "where it went", "see")
    return case.id


async def attached_cells(one: Any, case: int) -> list[list[str]]:
    """Return what the table of the attached trace says, its head first."""
    html = (await one.get(f"/cases/{case}")).text
    found = re.search(r'aria-label="where it went"><table.*?</table>', html, re.DOTALL)
    assert found is not None
    return [
        [unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
        for row in re.findall(r"<tr>(.*?)</tr>", found[0])
    ]


# Attached traces


async def test_an_attached_trace_is_shown_in_money_days_and_words(
    made: SmallOffice, visit: Visit
) -> None:
    """To the cent, by the day on which a slice begins, and with the words of the trace's page."""
    ann = await visit("ann")
    cells = await attached_cells(ann, attach(made, TRACE))
    assert cells[0] == ["Account", "What", "Amount (EUR)", "When", "Payments since the start"]
    assert cells[1] == ["A002", "received", "800.25", "8 Mar 2026", "1"]
    assert cells[4] == ["A001", "came back", "55.00", "22 Mar 2026", "3 or more"]


async def test_an_attached_trace_is_shown_in_the_readers_language(
    made: SmallOffice, visit: Visit
) -> None:
    """Nothing of a Dutch table is English, and its amounts are Dutch."""
    ann = await visit("ann")
    await ann.submit("/preferences", {"language": "nl", "theme": "auto"})
    cells = await attached_cells(ann, attach(made, TRACE))
    assert cells[0] == ["Rekening", "Wat", "Bedrag (EUR)", "Wanneer", "Betalingen sinds het begin"]
    assert cells[1] == ["A002", "ontvangen", "800,25", "8 mrt 2026", "1"]
    assert cells[4] == ["A001", "kwam terug", "55,00", "22 mrt 2026", "3 of meer"]


async def test_rows_of_an_attached_trace_that_are_not_shown_are_counted(
    made: SmallOffice, visit: Visit
) -> None:
    """A page has 200 rows, and says how many more there are."""
    run, n = "f" * 24, 207
    rows = {
        "account": [OWN[i % 60] for i in range(n)], "slice": [i // 60 for i in range(n)],
        "kind": ["received"] * n, "amount": [12345.67] * n,
    }  # fmt: skip
    with made.records.database.begin() as session:
        run_table.add(session, stored_run(run, "trace", "exact", NOW - DAY, slice="1d"))
        results.store_trace(session, run, pa.table(rows))
    made.desk.remember_question(ANN, run, [OWN[0]])
    ann, case = await visit("ann"), attach(made, run)
    cells = await attached_cells(ann, case)
    assert len(cells) == 1 + 200
    assert {row[2] for row in cells[1:]} == {"12,345.67"}
    assert "<p>7 more rows are not shown.</p>" in (await ann.get(f"/cases/{case}")).text


def test_an_attached_trace_outlives_its_run(made: SmallOffice) -> None:
    """The case keeps what was asked, so that slices have their days when the run is removed."""
    case = attach(made, TRACE)
    with made.records.database.begin() as session:
        session.delete(session.get(RunRow, TRACE))
    [kept] = made.desk.case(ANN, case).traces
    assert kept.parameters["slice"] == "7d"
    assert attached_table(kept, ENGLISH).rows[0].when == "8 Mar 2026"


def test_a_trace_attached_without_what_was_asked_has_it_from_its_run(
    made: SmallOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traces that were attached before their parameters were kept have days as well."""
    monkeypatch.setattr("bank_node.desk.case_desk._with_parameters", lambda rows, run: rows)
    case = attach(made, TRACE)
    assert made.desk.case(ANN, case).traces[0].parameters["slice"] == "7d"
    with made.records.database.begin() as session:
        session.delete(session.get(RunRow, TRACE))
    [bare] = made.desk.case(ANN, case).traces
    assert bare.parameters == {}
    assert [row.when for row in attached_table(bare, DUTCH).rows[:2]] == ["tijdvak 1", "tijdvak 2"]


def test_an_attached_trace_of_bands_shows_bands() -> None:
    """A band is no amount of money."""
    rows = table(("account", "slice", "kind", "band"), [("A2", 0, "received", 3)])
    parameters = {"since": "2026-03-01", "until": "2026-03-31", "slice": "1d"}
    told = attached_table(TraceNote(1, "r", "t", 0, "ann", rows, parameters), ENGLISH)
    assert told.is_band
    assert not told.has_depth
    assert [(row.value, row.when) for row in told.rows] == [("band 3", "1 Mar 2026")]


# Small numbers


@pytest.mark.parametrize(
    ("value", "english", "dutch"),
    [
        (3.2e-7, "3.2E-7", "3,2E-7"),
        (-1.2346e-6, "-1.235E-6", "-1,235E-6"),
        (5e-324, "4.941E-324", "4,941E-324"),
        (0.0001234, "0.0001234", "0,0001234"),
        (0.25, "0.25", "0,25"),
        (0.0, "0", "0"),
        (1234.5, "1,234", "1.234"),
        (7, "7", "7"),
    ],
)
def test_a_small_score_keeps_its_digits(value: float, english: str, dutch: str) -> None:
    """Four significant digits are written wherever the first one stands."""
    assert (ENGLISH.number(value), DUTCH.number(value)) == (english, dutch)


@pytest.mark.parametrize("most", [8.9e-4, 1e-6, 3.3e-14])
def test_ticks_of_small_scores_differ(most: float) -> None:
    """No two ticks of an axis say the same."""
    row = {"account": "A1", "analysis": "pagerank", "at": NOW, "value": most}
    [chart] = value_charts([row], ENGLISH, {}, "")
    ticks = re.findall(r'class="tick" text-anchor="end">([^<]+)<', chart.svg)
    assert len(ticks) == len(set(ticks)) == 5
    assert "0" in ticks


@pytest.mark.parametrize(
    ("most", "decimals", "said"),
    [(50, 2, "0.50"), (99_999, 2, "999.99"), (12_345_678, 2, "123,457"), (7, 0, "7")],
)
def test_the_axis_of_payments_tells_small_amounts(most: int, decimals: int, said: str) -> None:
    """An amount below one unit is not written as nothing."""
    words = words_for("en", ("en", "en_GB"), "EUR", decimals)
    columns = {"start": [MARCH], "inflow": [most], "outflow": [0]}
    chart = flow_chart({n: np.array(c) for n, c in columns.items()}, words, "")
    assert chart is not None
    assert chart.svg.count(f">{said}</text>") == 2


# Depth


def deep(depth: str) -> TracePage:
    """A trace whose farthest account stands at depth 3."""
    rows = [("A2", 1, "received", 8.0, 1), ("A3", 2, "received", 8.0, 3)]
    page = trace([], depth=depth)
    return replace(page, rows=table(("account", "slice", "kind", "amount", "depth"), rows))


@pytest.mark.parametrize(
    ("words", "depth", "columns", "cell"),
    [
        (ENGLISH, "3", ["1 payment", "3 or more payments"], "3 or more"),
        (DUTCH, "3", ["1 betaling", "3 of meer betalingen"], "3 of meer"),
        (ENGLISH, "4", ["1 payment", "3 payments"], "3"),
    ],
)
def test_the_last_depth_means_so_many_or_more(
    words: Words, depth: str, columns: list[str], cell: str
) -> None:
    """What a trace tells apart ends at its depth: beyond it, it cannot say how many there were."""
    page = deep(depth)
    graph, slices = graph_of(page, "BANKA", 2, Wish(by="depth")), Slices(page, words)
    spoken = picture_words(page, graph, slices, words)
    assert [spoken.column(bounds) for bounds in graph.columns[1:]] == columns
    rows = rows_of(page, reached_by(page), graph, slices, words)
    assert {row.account: row.depth for row in rows} == {"A1": "–", "A2": "1", "A3": cell}


# Plural forms and days


@pytest.mark.parametrize("locale", ["en_GB", "fr_FR", "ja_JP", "nl_NL"])
def test_plural_forms_follow_the_language_and_not_the_country(locale: str) -> None:
    """In French 0 is singular and in Japanese nothing is: that is nothing to an English page."""
    words = words_for("en", ("en", locale), "EUR", 2)
    assert [words.t("trace.sum", n=n) for n in (0, 1, 2)] == [
        "0 own accounts were reached.",
        "One own account was reached.",
        "2 own accounts were reached.",
    ]


def test_a_rule_that_needs_one_condition_says_so_in_the_singular() -> None:
    """The verb goes by how many conditions must hold, not by how many there are."""
    assert DUTCH.t("rules.needed", n=1, all=3) == "1 van 3 moet gelden"
    assert DUTCH.t("rules.needed", n=2, all=3) == "2 van 3 moeten gelden"
    assert ENGLISH.t("rules.needed", n=1, all=3) == "1 of 3 must hold"


async def test_days_taken_in_are_written_as_the_reader_does(visit: Visit) -> None:
    """In a Dutch sentence stand Dutch days."""
    otto = await visit("otto")
    await otto.submit("/preferences", {"language": "nl", "theme": "auto"})
    text = (await otto.get("/operation/checkup")).text
    assert "zijn bewaard, 1 mrt 2026 tot en met 28 mrt 2026: 180 betalingen." in text


async def test_one_payment_taken_in_is_one_payment(
    visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Days and payments have each their own plural."""

    class OneDay:
        def __init__(self, database: object) -> None:
            pass

        def listed(self) -> list[DayFile]:
            return [DayFile("2026-03-05", "days/2026-03-05.parquet", 1, "0" * 64, 10)]

    monkeypatch.setattr(operation_checkup, "StoredDays", OneDay)
    text = (await (await visit("otto")).get("/operation/checkup")).text
    assert "One day of payments is kept, 5 Mar 2026: 1 payment." in text


async def test_the_window_of_a_run_is_written_as_the_reader_does(visit: Visit) -> None:
    """Since and until are days on the page of a run, in the language of who looks."""
    ann = await visit("ann")
    text = (await ann.get(f"/runs/{TRACE}")).text
    assert "<dt>From</dt><dd>1 Mar 2026</dd>" in text
    assert "<dt>Until (not included)</dt><dd>31 Mar 2026</dd>" in text
    assert "<dt>Iterations</dt><dd>4</dd>" in text
    await ann.submit("/preferences", {"language": "nl", "theme": "auto"})
    assert "<dd>31 mrt 2026</dd>" in (await ann.get(f"/runs/{TRACE}")).text


def test_a_window_that_begins_within_a_day_has_its_time() -> None:
    """And what is no time at all, in a proposal that was refused for it, stands as it came."""
    given = {"since": "2026-03-01T12:30:00Z", "until": "soon", "hops": "3"}
    assert parameters_told({"parameters": given}, ENGLISH) == [
        ("since", "1 Mar 2026 12:30"), ("until", "soon"), ("hops", "3"),
    ]  # fmt: skip
