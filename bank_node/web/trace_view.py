"""A trace as its page shows it: words for the picture, names of slices, and the table's rows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import quote_plus

import numpy as np
from babel import numbers

from bank_node.desk import TraceNote, TracePage
from bank_node.web.picture_graph import Graph
from bank_node.web.picture_ink import Words as PictureWords
from bank_node.web.picture_reached import Reached
from bank_node.web.words import Words
from graph_mpc.window import Window, parse_window

__all__ = [
    "Row",
    "Slices",
    "depth_told",
    "money_writer",
    "next_cut",
    "picture_words",
    "rows_of",
    "told",
    "value_writer",
]

_DAY = 86_400_000_000
_LEGEND = ("start", "account", "gathered", "bank", "returned", "width")


@dataclass(frozen=True)
class Row:
    """An account of the table, in the reader's language.

    Attributes:
        node: its node in the picture. amount: what it received or what came back, to filter by.
        link: its page. find: what the button says that shows it in the picture.
    """

    account: str
    node: int
    asked: bool
    when: str
    received: str
    returned: str
    amount: float
    depth: str
    link: str
    find: str


class Slices:
    """Names of the slices of a trace's window."""

    def __init__(self, page: TracePage | TraceNote, words: Words) -> None:
        given = page.parameters
        self.window: Window = parse_window(
            given.get("since"), given.get("until"), given.get("slice", "1d")
        )
        self._words = words

    def name(self, number: int) -> str:
        """Return when a slice begins."""
        since, length = self.window.since, self.window.slice_us
        if since is None or length is None:
            return self._words.t("trace.whole_window")
        begins = since + number * length
        return self._words.time(begins) if length % _DAY else self._words.day(begins)

    def span(self, first: int, last: int) -> str:
        """Return the names of the first and last of several slices."""
        if first == last:
            return self.name(first)
        return self._words.t("trace.from_to", first=self.name(first), last=self.name(last))


def told(page: TracePage, words: Words) -> str:
    """Return in one line what was asked, which is also the title of an attached trace."""
    window = Slices(page, words).window
    until = None if window.until is None else window.until - 1
    shown = ", ".join(page.accounts[:3])
    more = len(page.accounts) - 3
    accounts = words.t("trace.and_more", shown=shown, n=more) if more > 0 else shown
    backward = page.parameters.get("direction") == "backward"
    key = "trace.title_backward" if backward else "trace.title_forward"
    return words.t(key, accounts=accounts, since=words.day(window.since), until=words.day(until))


def money_writer(words: Words) -> Callable[[float], str]:
    """Return a function that writes amounts as the locale does, fast enough for thousands.

    Babel reads its pattern for every number; the usual groups of three digits need only the
    locale's two signs.
    """
    grouping = words.locale.decimal_formats[None].grouping
    if grouping != (3, 3):
        return lambda value: words.amount(round(Decimal(value).scaleb(words.decimals)))
    signs = {
        ",": numbers.get_group_symbol(words.locale),
        ".": numbers.get_decimal_symbol(words.locale),
    }
    table, form = str.maketrans(signs), f"{{:,.{words.decimals}f}}"
    return lambda value: form.format(value).translate(table)


def value_writer(words: Words, *, is_band: bool) -> Callable[[float], str]:
    """Return a function that writes what an account received: an amount, or a band."""
    if is_band:
        return lambda band: words.t("trace.band", band=int(band))
    return money_writer(words)


def depth_told(page: TracePage | TraceNote, depth: int, words: Words) -> str:
    """Return how many payments money made; the last number that a trace tells apart is a bound."""
    if is_last_depth(page, depth):
        return words.t("trace.or_more", n=depth)
    return words.number(depth)


def is_last_depth(page: TracePage | TraceNote, depth: int) -> bool:
    """Say whether a depth stands for itself and all above it."""
    return str(depth) == str(page.parameters.get("depth"))


def rows_of(
    page: TracePage, reached: Reached, graph: Graph, slices: Slices, words: Words
) -> Iterator[Row]:
    """Give the table's rows: those asked about, then the others by what they received."""
    write = value_writer(words, is_band=reached.is_band)
    spans = set(zip(reached.first.tolist(), reached.last.tolist(), strict=True))
    names = {span: "–" if span[0] < 0 else slices.span(*span) for span in spans}
    depths = {d: depth_told(page, d, words) for d in set(reached.depth.tolist())} | {-1: "–"}
    order = np.lexsort((-reached.received, ~reached.asked))
    # The string is looked up once: there may be thousands of rows.
    before, _, after = words.t("trace.find", account="\0").partition("\0")
    columns = (
        order, graph.place[order], reached.asked[order], reached.first[order], reached.last[order],
        reached.received[order], reached.returned[order], reached.depth[order],
    )  # fmt: skip
    for i, node, asked, first, last, received, returned, depth in zip(
        *(column.tolist() for column in columns), strict=True
    ):
        yield Row(
            account=reached.accounts[i],
            node=node,
            asked=asked,
            when=names[first, last],
            received=write(received) if received > 0 else "–",
            returned=write(returned) if returned > 0 else "–",
            amount=max(received, returned),
            depth=depths[depth],
            link=f"/account?id={quote_plus(reached.accounts[i])}",
            find=f"{before}{reached.accounts[i]}{after}",
        )


def next_cut(reached: Reached, graph: Graph) -> float | None:
    """Return a smaller cut-off that shows about twice as many accounts; None: all are shown."""
    if not graph.gathered:
        return None
    received = -np.sort(-reached.received[~reached.asked])
    shown = len(received) - graph.gathered
    return float(received[min(max(2 * shown, 50), len(received)) - 1])


def picture_words(page: TracePage, graph: Graph, slices: Slices, words: Words) -> PictureWords:
    """Return the words of a trace's picture."""
    money = money_writer(words)
    t, currency = words.t, words.currency

    def column(bounds: tuple[int, int] | None) -> str:
        if bounds is None:
            return t("trace.start")
        if graph.by == "slice":
            return slices.span(*bounds)
        if is_last_depth(page, bounds[1]):
            return t("trace.payments_or_more", n=bounds[0])
        return t("trace.payments_since", n=bounds[0])

    accounts = sum(node.count for node in graph.nodes if node.kind != "bank")
    return PictureWords(
        title=told(page, words),
        description=t("trace.picture_text", n=accounts, columns=len(graph.columns)),
        start=t("trace.asked_about"),
        gathered=lambda n: t("trace.gathered", n=n),
        others=lambda n: t("trace.other_banks", n=n),
        returned=lambda amount: t("trace.came_back", amount=amount),
        bank=lambda bank: t("trace.bank", bank=bank),
        edge=lambda payer, payee, amount, n: t(
            "trace.edge", payer=payer, payee=payee, amount=amount, currency=currency, n=n
        ),
        column=column,
        amount=value_writer(words, is_band=graph.is_band),
        money=money,
        legend={name: words.label("trace_legend", name) for name in _LEGEND},
    )
