"""Writes a comparison or a replay: ``report.html``, ``metrics.json`` and tables as Parquet.

The page is one file: no script, nothing loaded from anywhere, pictures as inline SVG.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from simdata.comparison import wording
from simdata.comparison.analyses import ANALYSES
from simdata.comparison.combining import Model
from simdata.comparison.drawing import (
    NAMES,
    draw_curves,
    draw_growth,
    draw_scheme,
    draw_typologies,
)
from simdata.comparison.marking import ASKED, SUSPECTED
from simdata.comparison.measures import chosen, curve
from simdata.comparison.payments import Labelled
from simdata.comparison.replay import REPLAYED, Replay
from simdata.comparison.scheme import telling_scheme
from simdata.comparison.secure_days import SecureRecord
from simdata.comparison.summary import Summary
from simdata.comparison.worlds import WORLDS, Comparison
from simdata.writer import write_table

__all__ = ["write_replay", "write_report"]

Row = dict[str, Any]


def write_report(out: Path, comparison: Comparison, summary: Summary, model: Model) -> None:
    """Write everything about a comparison into the folder ``out``.

    Args:
        out: an empty folder.
        comparison: the data set that pictures and the accounts table are of.
        summary: the figures of all data sets.
        model: the weights that were used.
    """
    (out / "metrics.json").write_text(_json(summary.to_json()), "utf-8")
    (out / "model.json").write_text(model.to_json(), "utf-8")
    for name in ("overall", "typologies", "banks", "cost"):
        rows = [row for one in summary.sets for row in getattr(one, name)]
        write_table(pa.Table.from_pylist(rows), out / name, csv=False)
    write_table(_accounts(comparison, summary.budget), out / "accounts", csv=False)
    (out / "report.html").write_text(_page(comparison, summary, model), "utf-8")


def write_replay(
    out: Path,
    data: Labelled,
    replay: Replay,
    every: str,
    budget: float,
    secure: SecureRecord | None = None,
) -> None:
    """Write everything about a replay into the folder ``out``.

    Args:
        out: an empty folder.
        data: the data set.
        replay: what was flagged when.
        every: the period, as it was given.
        budget: share of the accounts under watch on a day.
        secure: of the secure runs; None: the joint detection was computed in plain.
    """
    metrics = {"data_set": data.dataset.name, "every": every, "budget": budget,
               "summary": replay.summary,
               "secure": None if secure is None else asdict(secure)}  # fmt: skip
    (out / "metrics.json").write_text(_json(metrics), "utf-8")
    write_table(pa.Table.from_pylist(replay.schemes), out / "schemes", csv=False)
    columns: dict[str, Any] = {"day": replay.days}
    for world in REPLAYED:
        columns[f"illicit_{world}"] = replay.flagged_illicit[world]
        columns[f"all_{world}"] = replay.flagged_all[world]
    write_table(pa.table(columns), out / "days", csv=False)
    page = _environment().get_template("replay.html")
    (out / "report.html").write_text(
        page.render(
            title=f"Day by day: {data.dataset.name}",
            replay=replay,
            secure=secure,
            names=NAMES,
            worlds=REPLAYED,
            every=wording.period(every),
            window=wording.window(data.dataset),
            banks=len(data.dataset.banks),
            accounts=len(data),
            payments=len(data.payments.source),
            budget=budget,
            typologies=_waits(replay),
            illicit=_picture(replay, replay.flagged_illicit, "illicit accounts flagged so far"),
            everyone=_picture(replay, replay.flagged_all, "accounts flagged so far"),
        ),
        "utf-8",
    )


def _picture(replay: Replay, lines: Mapping[str, Any], what: str) -> Markup:
    return Markup(draw_growth(replay.days, lines, what))  # noqa: S704 - drawn here


def _page(comparison: Comparison, summary: Summary, model: Model) -> str:
    data = comparison.data
    first = summary.sets[0]
    curves = {w: curve(data.bank, comparison.score[w], data.labels.illicit) for w in WORLDS}
    scheme = telling_scheme(comparison, first.about["alerts"])
    return (
        _environment()
        .get_template("report.html")
        .render(
            title=f"Banks alone and together: {data.dataset.name}",
            summary=summary,
            first=first,
            model=model,
            worlds=WORLDS,
            names=NAMES,
            window=wording.window(data.dataset),
            measures=wording.MEASURES,
            headline=wording.headline(summary),
            analyses={n: (wording.described(n), wording.parameters(n)) for n in ANALYSES},
            suspected=SUSPECTED,
            asked=ASKED,
            costs=_costs(summary),
            parties=_parties(summary),
            curves=Markup(draw_curves(curves, summary.budget)),  # noqa: S704 - drawn here
            bars=Markup(draw_typologies(summary.typologies, _members(summary))),  # noqa: S704
            schemes_named=bool((data.labels.pattern != "").any()),
            scheme=scheme,
            picture=None if scheme is None else Markup(draw_scheme(scheme)),  # noqa: S704
        )
    )


def _members(summary: Summary) -> dict[str, int]:
    """Return how many accounts of each typology there are, in all data sets together."""
    members: dict[str, int] = {}
    for one in summary.sets:
        for row in one.typologies:
            if row["world"] == "alone":
                members[row["typology"]] = members.get(row["typology"], 0) + row["accounts"]
    return members


def _costs(summary: Summary) -> list[Row]:
    """Return the cost of each analysis on the first data set."""
    rows = []
    for name in ANALYSES:
        parts = [row for row in summary.sets[0].cost if row["analysis"] == name]
        rows.append(
            {
                "analysis": name,
                "seconds": parts[0]["seconds"],
                "megabytes": sum(row["bytes_sent"] for row in parts) / 1e6,
                "memory": max(row["peak_memory_bytes"] for row in parts) / 1e6,
            }
        )
    return rows


def _parties(summary: Summary) -> list[Row]:
    """Return what each party learned at most, in bits, over all analyses of the first data set."""
    bits: dict[str, int] = {}
    for row in summary.sets[0].cost:
        bits[row["party"]] = bits.get(row["party"], 0) + row["disclosed_bits"]
    return [{"party": party, "bits": n} for party, n in bits.items()]


def _accounts(comparison: Comparison, budget: float) -> pa.Table:
    data = comparison.data
    alerts = max(1, round(budget * len(data)))
    columns: dict[str, Any] = {
        "bank": pa.array(data.dataset.banks).take(pa.array(data.bank)),
        "account": data.account,
        "is_illicit": data.labels.illicit,
        "cross_bank": comparison.cross,
        "typology": data.labels.typology.tolist(),
    }
    for world in WORLDS:
        columns[f"score_{world}"] = comparison.score[world]
        columns[f"alert_{world}"] = chosen(data.bank, comparison.score[world], alerts)
    return pa.table(columns)


def _waits(replay: Replay) -> list[Row]:
    """Return for each typology how many schemes were flagged, and the median days, by world."""
    rows = []
    for name in sorted({row["typology"] for row in replay.schemes}):
        mine = [row for row in replay.schemes if row["typology"] == name]
        entry: Row = {"typology": name, "schemes": len(mine) // len(REPLAYED)}
        for world in REPLAYED:
            found = [r["days_after"] for r in mine if r["world"] == world]
            waits = [wait for wait in found if wait is not None]
            entry[world] = {
                "flagged": len(waits),
                "days": float(np.median(waits)) if waits else None,
            }
        rows.append(entry)
    return rows


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("simdata.comparison", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("count", "interval", "percent", "points", "points_interval"):
        environment.filters[name] = getattr(wording, name)
    return environment


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, default=_plain) + "\n"


def _plain(value: Any) -> Any:
    """Turn NumPy's numbers into Python's."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no place in JSON")
