"""Reports are one file each, complete, and load nothing."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from simdata.comparison import (
    Comparison,
    Judged,
    SecureRuns,
    read_labelled,
    replay_days,
    shipped_model,
    summarise,
    write_replay,
    write_report,
)
from simdata.comparison.drawing import COLOURS
from simdata.comparison.summary import Mean
from simdata.comparison.summary import _mean as mean_of
from tests.simdata.comparison.conftest import BUDGET

Compared = tuple[Comparison, SecureRuns, Judged]
DAY = 86_400_000_000


class Page(HTMLParser):
    """Collects elements, ids and what is referred to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "xlink:href"):
                self.links.append(value or "")


@pytest.fixture(scope="module")
def written(compared: Compared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report."""
    comparison, _runs, judged = compared
    out = tmp_path_factory.mktemp("report")
    write_report(out, comparison, summarise([judged, judged], BUDGET), shipped_model())
    return out


def test_the_report_loads_nothing_and_runs_nothing(written: Path) -> None:
    """No script, no image, no frame; each reference is to an element of the page."""
    text = (written / "report.html").read_text()
    page = Page(text)
    assert not {"script", "img", "iframe", "link", "object"} & set(page.elements)
    assert all(link.removeprefix("#") in page.ids for link in page.links)
    assert len(page.ids) == len(set(page.ids))
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)


def test_pictures_take_the_colours_of_the_page(written: Path) -> None:
    """No stand-in colour is left; the variables that the pictures use are defined twice."""
    text = (written / "report.html").read_text()
    assert not any(colour in text for colour in COLOURS.values())
    assert page_variables(text) == {"--ink", "--quiet", "--line", "--signals", "--alone", "--joint",
                                    "--paper"}  # fmt: skip
    for name in ("--ink", "--paper", "--joint", "--alone", "--signals", "--quiet"):
        assert text.count(f"{name}: #") == 2
    assert "var(--joint)" in text[text.index("<svg") :]


def page_variables(text: str) -> set[str]:
    """The variables that are used."""
    return set(re.findall(r"var\((--\w+)\)", text))


def test_figures_of_the_page_are_those_of_metrics_json(written: Path) -> None:
    """The recall of the secure world stands in both."""
    metrics = json.loads((written / "metrics.json").read_text())
    recall = metrics["means"]["secure"]["recall"]["mean"]
    assert f"{100 * recall:.1f} %" in (written / "report.html").read_text()
    assert metrics["budget"] == BUDGET


def test_tables_hold_every_account_and_world(written: Path, compared: Compared) -> None:
    """accounts.parquet has a row per account, overall.parquet one per data set and world."""
    accounts = pq.read_table(written / "accounts.parquet")
    assert accounts.num_rows == len(compared[0].data)
    assert np.array_equal(accounts["score_secure"].to_numpy(), compared[0].score["secure"])
    assert pq.read_table(written / "overall.parquet").num_rows == 8
    parties = pq.read_table(written / "cost.parquet")
    assert min(parties["bytes_sent"].to_pylist()) > 0


def test_a_mean_over_data_sets_has_the_interval_of_student() -> None:
    """1, 2, 3: mean 2, half width 4.303 / sqrt(3); a single value has none."""
    found = mean_of([1.0, 2.0, 3.0])
    assert found.low is not None
    assert found.mean - found.low == pytest.approx(4.302653 / 3**0.5, rel=1e-5)
    assert mean_of([0.5]) == Mean(0.5, None, None)


def test_replay_flags_no_scheme_before_its_first_payment(folder: Path, tmp_path: Path) -> None:
    """Every wait is above zero and the first day after it begins; counts only grow."""
    data = read_labelled(folder)
    replay = replay_days(data, shipped_model(), 5 * DAY, BUDGET)
    waits = [row["days_after"] for row in replay.schemes if row["days_after"] is not None]
    assert waits
    assert min(waits) > 0
    for world, counts in replay.flagged_illicit.items():
        assert np.all(np.diff(counts) >= 0)
        assert counts[-1] <= replay.flagged_all[world][-1]
    write_replay(tmp_path, data, replay, "5d", BUDGET)
    assert Page((tmp_path / "report.html").read_text()).elements.count("svg") == 2
    assert pq.read_table(tmp_path / "days.parquet").num_rows == len(replay.days) == 6


def test_replay_knows_nothing_of_the_future(folder: Path) -> None:
    """Cut off after ten days, the first two evaluations flag as many innocents as without the cut.

    (Of illicit accounts, which flags count depends on when their scheme will begin.)
    """
    data = read_labelled(folder)
    whole = replay_days(data, shipped_model(), 5 * DAY, BUDGET)
    start = int(data.payments.time[0]) // DAY * DAY
    cut = replace(data, payments=data.payments.take(data.payments.time < start + 10 * DAY))
    early = replay_days(cut, shipped_model(), 5 * DAY, BUDGET)
    for world in ("alone", "joint"):
        innocent = [run.flagged_all[world] - run.flagged_illicit[world] for run in (early, whole)]
        assert innocent[0].tolist() == innocent[1][:2].tolist()
