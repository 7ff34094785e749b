"""What was measured on one or several data sets, as tables, and means with intervals over them.

Several data sets of one kind (the same settings, other seeds) give 95 % confidence intervals, by
Student's t over the data sets.  Differences between worlds are taken within each data set first, so
that what makes one set harder than another does not widen them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from simdata.comparison.agreement import Agreement, agreements, different_alerts
from simdata.comparison.measures import average_precision, chosen, curve
from simdata.comparison.worlds import WORLDS, Comparison

__all__ = ["MEASURES", "Judged", "Mean", "Summary", "judge", "summarise"]

Row = dict[str, Any]

MEASURES = (
    "recall",
    "precision",
    "recall_cross_bank",
    "pr_auc",
    "precision_at_20_recall",
    "recall_at_precision_alone",
)
_RECALL = 0.2


@dataclass(frozen=True)
class Mean:
    """A mean over data sets; low and high are its 95 % interval, None for a single data set."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Judged:
    """One data set, judged.

    Attributes:
        about: name, accounts, payments, banks, illicit and cross-bank accounts, alerts.
        overall: one row for each world, with ``MEASURES`` and recall at other budgets.
        typologies: one row for each world and typology.
        banks: one row for each world and bank.
        agreement: how the secure runs agree with the pooled world.
        different_alerts: alerts of the secure world that the pooled one does not raise.
        cost: one row for each analysis and party.
    """

    about: Row
    overall: list[Row]
    typologies: list[Row]
    banks: list[Row]
    agreement: list[Agreement]
    different_alerts: int
    cost: list[Row]


@dataclass(frozen=True)
class Summary:
    """All data sets.

    Attributes:
        budget: share of the accounts that get an alert.
        sets: each data set.
        means: mean of each world and measure.
        gains: mean of secure less alone for each measure.
        typologies: mean recall of each typology and world.
    """

    budget: float
    sets: list[Judged]
    means: dict[str, dict[str, Mean]]
    gains: dict[str, Mean]
    typologies: dict[str, dict[str, Mean]]

    def to_json(self) -> Row:
        """Return what stands in ``metrics.json``."""
        return asdict(self)


def judge(
    comparison: Comparison, records: Mapping[str, Mapping[str, Any]], budget: float
) -> Judged:
    """Measure all worlds on one data set.

    Args:
        comparison: the worlds.
        records: the ``run.json`` of the secure runs.
        budget: share of the accounts that get an alert.
    """
    data, results = comparison.data, comparison.results
    alerts = max(1, round(budget * len(data)))
    about = {
        "name": data.dataset.name,
        "banks": len(data.dataset.banks),
        "accounts": len(data),
        "payments": len(data.payments.source),
        "illicit_accounts": int(data.labels.illicit.sum()),
        "cross_bank_accounts": int(comparison.cross.sum()),
        "alerts": alerts,
    }
    return Judged(
        about=about,
        overall=_overall(comparison, alerts),
        typologies=_typologies(comparison, alerts),
        banks=_banks(comparison, alerts),
        agreement=agreements(data, comparison.marks, results["secure"], results["pooled"], records),
        different_alerts=different_alerts(comparison, alerts),
        cost=_costs(records),
    )


def summarise(sets: Sequence[Judged], budget: float) -> Summary:
    """Bring several data sets together."""
    by_world = {
        world: [next(r for r in one.overall if r["world"] == world) for one in sets]
        for world in WORLDS
    }
    means = {w: {m: _mean([r[m] for r in rows]) for m in MEASURES} for w, rows in by_world.items()}
    gains = {
        m: _mean([a[m] - b[m] for a, b in zip(by_world["secure"], by_world["alone"], strict=True)])
        for m in MEASURES
    }
    rows = [row for one in sets for row in one.typologies]
    typologies = {
        name: {
            w: _mean([r["recall"] for r in rows if (r["typology"], r["world"]) == (name, w)])
            for w in WORLDS
        }
        for name in sorted({row["typology"] for row in rows})
    }
    return Summary(budget, list(sets), means, gains, typologies)


def _mean(values: Sequence[float]) -> Mean:
    mean, n = float(np.mean(values)), len(values)
    if n < 2:
        return Mean(mean, None, None)
    half = float(student.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return Mean(mean, mean - half, mean + half)


def _overall(comparison: Comparison, alerts: int) -> list[Row]:
    data, illicit = comparison.data, comparison.data.labels.illicit
    lines = {w: curve(data.bank, comparison.score[w], illicit) for w in WORLDS}
    reference = float(lines["alone"].precision[alerts - 1])
    rows = []
    for world, line in lines.items():
        flagged = chosen(data.bank, comparison.score[world], alerts)
        rows.append(
            {
                "data_set": data.dataset.name,
                "world": world,
                "alerts": alerts,
                "found": int(np.count_nonzero(flagged & illicit)),
                "recall": float(line.recall[alerts - 1]),
                "precision": float(line.precision[alerts - 1]),
                "recall_cross_bank": _share(flagged, comparison.cross),
                "pr_auc": average_precision(line),
                "precision_at_20_recall": line.precision_at(_RECALL),
                "recall_at_precision_alone": line.recall_at_precision(reference),
                "recall_at_half_budget": float(line.recall[max(1, alerts // 2) - 1]),
                "recall_at_double_budget": float(line.recall[min(2 * alerts, len(data)) - 1]),
            }
        )
    return rows


def _typologies(comparison: Comparison, alerts: int) -> list[Row]:
    data = comparison.data
    names = np.where(data.labels.typology == "", "unnamed", data.labels.typology)
    rows = []
    for world in WORLDS:
        flagged = chosen(data.bank, comparison.score[world], alerts)
        for name in np.unique(names[data.labels.illicit]):
            members = data.labels.illicit & (names == name)
            rows.append(
                {
                    "data_set": data.dataset.name,
                    "world": world,
                    "typology": str(name),
                    "accounts": int(members.sum()),
                    "recall": _share(flagged, members),
                }
            )
    return rows


def _banks(comparison: Comparison, alerts: int) -> list[Row]:
    data = comparison.data
    rows = []
    for world in WORLDS:
        flagged = chosen(data.bank, comparison.score[world], alerts)
        for number, bank in enumerate(data.dataset.banks):
            own = data.bank == number
            rows.append(
                {
                    "data_set": data.dataset.name,
                    "world": world,
                    "bank": bank,
                    "accounts": int(own.sum()),
                    "illicit": int((own & data.labels.illicit).sum()),
                    "alerts": int((own & flagged).sum()),
                    "recall": _share(flagged, own & data.labels.illicit),
                    "precision": _share(data.labels.illicit, own & flagged),
                }
            )
    return rows


def _share(picked: NDArray[np.bool_], among: NDArray[np.bool_]) -> float:
    """Return the share of ``among`` that is picked; 0 if there is nobody."""
    return int(np.count_nonzero(picked & among)) / max(1, int(np.count_nonzero(among)))


def _costs(records: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    return [
        {
            "analysis": name,
            "party": party["id"],
            "seconds": record["seconds"]["total"],
            "bytes_sent": record["bytes_sent"][party["id"]]["all_with_framing"],
            "peak_memory_bytes": record["peak_memory_bytes"][party["id"]],
            "disclosed_bits": record["disclosed_bits"].get(party["id"], 0),
        }
        for name, record in records.items()
        for party in record["parties"]
    ]
