"""Reports in a browser: nothing runs over the edge of a phone, and both schemes can be read."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
from tests.simdata.comparison.conftest import BUDGET

CHROMIUM = Path("/usr/bin/chromium")
DAY = 86_400_000_000


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A running Chromium."""
    missing = "" if CHROMIUM.exists() else f"{CHROMIUM} is not installed"
    if missing and os.environ.get("UNDERCURRENT_REQUIRE_SERVICES") == "1":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(
    folder: Path,
    compared: tuple[Comparison, SecureRuns, Judged],
    tmp_path_factory: pytest.TempPathFactory,
) -> list[Path]:
    """A report of a comparison of several data sets, with intervals, and one of a replay."""
    comparison, _runs, judged = compared
    places = [tmp_path_factory.mktemp(name) for name in ("compared", "replayed")]
    write_report(places[0], comparison, summarise([judged] * 3, BUDGET), shipped_model())
    data = read_labelled(folder)
    replay = replay_days(data, shipped_model(), 5 * DAY, BUDGET)
    write_replay(places[1], data, replay, "5d", BUDGET)
    return [place / "report.html" for place in places]


@pytest.mark.parametrize("width", [1280, 768, 390])
def test_nothing_is_wider_than_the_screen(chromium: Any, pages: list[Path], width: int) -> None:
    """At desktop, tablet and phone width neither the page nor a table scrolls sideways."""
    for page in pages:
        shown = chromium.new_page(viewport={"width": width, "height": 900})
        shown.goto(page.as_uri())
        assert shown.evaluate("document.documentElement.scrollWidth") <= width
        tables = (
            "[...document.querySelectorAll('.wide')].filter(t => t.scrollWidth > t.clientWidth)"
        )
        assert shown.evaluate(f"{tables}.length") == 0
        shown.close()


def test_text_of_pictures_can_be_read_on_a_phone(chromium: Any, pages: list[Path]) -> None:
    """At 390 pixels no text of a picture is lower than 8 pixels, and none lies on another."""
    for page in pages:
        shown = chromium.new_page(viewport={"width": 390, "height": 900})
        shown.goto(page.as_uri())
        for picture in shown.evaluate(BOXES):
            assert min(height for _x, _y, _w, height in picture) >= 8
            assert not any(
                overlap(a, b) for i, a in enumerate(picture) for b in picture[i + 1 :]
            ), picture
        shown.close()


BOXES = """[...document.querySelectorAll('svg')].map(svg => [...svg.querySelectorAll('text')].map(
    t => { const b = t.getBoundingClientRect(); return [b.x, b.y, b.width, b.height]; }))"""


def overlap(a: list[float], b: list[float]) -> bool:
    """Whether two boxes lie on each other by more than a hair, (x, y, width, height) each."""
    gaps = (min(a[i] + a[i + 2], b[i] + b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    return min(gaps) > 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_letters_and_lines_stand_out(chromium: Any, pages: list[Path], scheme: str) -> None:
    """Text has a contrast of 4.5 to its paper, lines of pictures one of 3, light and dark."""
    for page in pages:
        shown = chromium.new_page(color_scheme=scheme)
        shown.goto(page.as_uri())
        colours = shown.evaluate(COLOURS)
        paper = luminance(colours.pop("paper"))
        for name, colour in colours.items():
            light, dark = sorted((luminance(colour), paper), reverse=True)
            least = 4.5 if name in ("ink", "quiet") else 3.0
            assert (light + 0.05) / (dark + 0.05) >= least, (name, scheme)
        shown.close()


COLOURS = """Object.fromEntries(
    ['paper', 'ink', 'quiet', 'signals', 'alone', 'joint'].map(name => [
        name, getComputedStyle(document.documentElement).getPropertyValue('--' + name)]))"""


def luminance(colour: str) -> float:
    """The relative luminance of #rrggbb (WCAG 2)."""
    digits = colour.strip().removeprefix("#")
    channels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
