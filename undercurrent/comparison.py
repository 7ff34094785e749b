"""``undercurrent lab compare`` and ``lab replay``: what joining finds that banks alone do not.

Their tools (SciPy, Matplotlib) are loaded when one of the two runs: other commands do not wait for
them.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bank_node.errors import ParameterError
from bank_node.launcher import OnEvent
from simdata.dataset import fresh_folder
from undercurrent.progress import run_interruptible, show_progress

__all__ = ["compare", "replay"]


def _when_used(name: str) -> ModuleType:
    """Return a module that is loaded when one of its names is used."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        raise ImportError(name)
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


if TYPE_CHECKING:
    import simdata.comparison as tools
else:
    tools = sys.modules.get("simdata.comparison") or _when_used("simdata.comparison")


_MARKER = "metrics.json"
_NAMES = {"signals": "own signals", "alone": "alone", "secure": "secure joint", "pooled": "pooled"}
_SPAN = {"h": 3_600_000_000, "d": 86_400_000_000}
_Share = Annotated[
    float, typer.Option(min=0.0001, max=1, help="Share of all accounts that get an alert.")
]
_Compute = Annotated[int, typer.Option(help="Number of compute parties without data.")]
_Deadline = Annotated[float, typer.Option(min=1, help="Seconds until a silent party is given up.")]


def compare(
    data: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Labelled data sets; several: intervals.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the report.")],
    budget: _Share = 0.02,
    fit: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Fit the weights on this data set; repeatable."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Weights of an earlier model.json.")
    ] = None,
    compute: _Compute = 0,
    deadline: _Deadline = 60.0,
    force: Annotated[bool, typer.Option("--force", help="Replace a report that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print metrics.json.")] = False,
) -> None:
    """Compare banks alone, the secure joint run and all data pooled on one alert budget.

    Runs PageRank, risk propagation and round trips by the real secure code,
    and by each bank alone, and writes OUT/report.html, OUT/metrics.json and
    tables.  With several data sets of one kind the figures are means with
    95 % intervals; pictures are of the first.

    Examples:

      undercurrent lab compare DATA --out OUT

      undercurrent lab compare SEED1 SEED2 SEED3 --budget 0.01 --out OUT

      undercurrent lab compare DATA --fit OTHER1 --fit OTHER2 --out OUT

      undercurrent lab compare TWO_BANKS --compute 1 --out OUT
    """
    with fresh_folder(out, force=force, holding=_MARKER) as work:
        _refuse_twice(data)
        _refuse_fitted(data, fit or [])
        weights = _model(fit or [], model)
        pairs = [_compare_one(path, weights, compute, deadline, budget) for path in data]
        summary = tools.summarise([judged for _comparison, judged in pairs], budget)
        tools.write_report(work, pairs[0][0], summary, weights)
        _warn(weights, pairs)
    if as_json:
        typer.echo((out / _MARKER).read_text("utf-8"), nl=False)
    else:
        _show(summary)
        typer.echo(f"report: {out}/report.html")


def replay(
    data: Annotated[Path, typer.Argument(metavar="DIR", help="A labelled data set.")],
    out: Annotated[Path, typer.Option(help="Folder for the report.")],
    every: Annotated[str, typer.Option(help="How often to run, for example 1d or 12h.")] = "1d",
    budget: _Share = 0.02,
    model: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Weights of an earlier model.json.")
    ] = None,
    secure: Annotated[
        bool, typer.Option("--secure", help="Joint by the real workers; takes minutes.")
    ] = False,
    compute: _Compute = 0,
    deadline: _Deadline = 60.0,
    force: Annotated[bool, typer.Option("--force", help="Replace a report that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print metrics.json.")] = False,
) -> None:
    """Run the detection day by day on what was known then: how soon is a scheme flagged?

    Alone and joint, in plain over all payments (which the secure run equals),
    or with --secure by the real secure code, four joint runs a day, and
    compared with the plain ones.  Writes OUT/report.html, OUT/metrics.json
    and tables.

    Examples:

      undercurrent lab replay DATA --every 1d --out OUT

      undercurrent lab replay DATA --every 7d --secure --out OUT

      undercurrent lab replay DATA --every 12h --budget 0.01 --out OUT
    """
    period = _period(every)
    with fresh_folder(out, force=force, holding=_MARKER) as work:
        weights = _model([], model)
        labelled = tools.read_labelled(data)
        found = _replay_in_plain(labelled, weights, period, budget)
        record = None
        if secure:
            plain, days = found, _SecureDays(data, labelled, compute, deadline)
            found = tools.replay_days(labelled, weights, period, budget, days.begin, days.joint)
            record = days.joint.record
            record.different = int((found.first["joint"] != plain.first["joint"]).sum())
        tools.write_replay(work, labelled, found, every, budget, record)
    if as_json:
        typer.echo((out / _MARKER).read_text("utf-8"), nl=False)
        return
    _show_replay(found.summary, record)
    typer.echo(f"report: {out}/report.html")


def _replay_in_plain(
    data: tools.Labelled, model: tools.Model, period: int, budget: float
) -> tools.Replay:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("replay", total=None)
        return tools.replay_days(
            data,
            model,
            period,
            budget,
            lambda done, total: bar.update(task, completed=done, total=total),
        )


class _SecureDays:
    """The secure runs of a replay, with a bar for each that says which day it is."""

    def __init__(self, folder: Path, data: tools.Labelled, compute: int, deadline: float) -> None:
        self._step = ""
        self.joint = tools.SecureDays(
            folder, data, self._listen, compute=compute, deadline=deadline, run=run_interruptible
        )

    def begin(self, done: int, total: int) -> None:
        """Take note of which evaluation comes next."""
        self._step = f"{done + 1} of {total}"

    def _listen(self, analysis: str) -> AbstractContextManager[OnEvent]:
        return show_progress(f"{self._step}, {analysis}")


def _compare_one(
    path: Path, model: tools.Model, compute: int, deadline: float, budget: float
) -> tuple[tools.Comparison, tools.Judged]:
    data = tools.read_labelled(path)
    marks = tools.marks_of(data, model, data.payments)

    def listen(analysis: str) -> AbstractContextManager[OnEvent]:
        return show_progress(f"{data.dataset.name}, {analysis}")

    runs = run_interruptible(
        tools.run_secure(path, data, marks, listen, compute=compute, deadline=deadline)
    )
    comparison = tools.compare_worlds(data, model, marks, runs.results)
    return comparison, tools.judge(comparison, runs.records, budget)


def _model(fit: list[Path], path: Path | None) -> tools.Model:
    if fit and path is not None:
        raise ParameterError("--fit and --model are both given", "Give one of them")
    if fit:
        return tools.fit_on([tools.read_labelled(one) for one in fit])
    return tools.shipped_model() if path is None else tools.load_model(path)


def _refuse_twice(data: list[Path]) -> None:
    """Refuse the same data set twice, which would narrow the intervals for nothing."""
    paths = [path.resolve() for path in data]
    twice = {path for path in paths if paths.count(path) > 1}
    if twice:
        raise ParameterError(
            f"{min(twice)}: the data set is given twice", "Give each data set once"
        )


def _refuse_fitted(data: list[Path], fit: list[Path]) -> None:
    """Refuse to judge on what was fitted on, which would flatter every world."""
    both = {path.resolve() for path in data} & {path.resolve() for path in fit}
    if both:
        raise ParameterError(
            f"{sorted(both)[0]}: the weights are fitted on the data set that they are judged on",
            "Give --fit another data set",
        )


def _warn(model: tools.Model, pairs: list[tuple[tools.Comparison, tools.Judged]]) -> None:
    """Say where the figures flatter, or where a secure run broke its word."""
    for comparison, judged in pairs:
        name = comparison.data.dataset.name
        if name in model.fitted_on:
            typer.echo(f"{name}: a data set of this name was in the fit of the weights", err=True)
        for one in judged.agreement:
            if not one.holds:
                typer.echo(
                    f"{name}: the error of {one.analysis} is {one.used:.1f} times what its run"
                    " states",
                    err=True,
                )


def _period(text: str) -> int:
    found = re.fullmatch(r"(\d{1,4})([hd])", text)
    if found is None or int(found[1]) == 0:
        raise ParameterError(f"--every {text} is not a period", "Write for example 1d or 12h")
    return int(found[1]) * _SPAN[found[2]]


def _show(summary: tools.Summary) -> None:
    sets = "one data set" if len(summary.sets) == 1 else f"{len(summary.sets)} data sets, means"
    table = Table(title=f"{sets}; alerts for {summary.budget:.1%} of the accounts")
    table.add_column("")
    for name in ("recall", "cross-bank", "precision", "PR-AUC"):
        table.add_column(name, justify="right")
    for world, means in summary.means.items():
        row = [means[m].mean for m in ("recall", "recall_cross_bank", "precision", "pr_auc")]
        table.add_row(_NAMES[world], *(f"{100 * value:.1f} %" for value in row))
    Console().print(table)
    differ = sum(one.different_alerts for one in summary.sets)
    typer.echo(f"secure joint and pooled: {differ} alerts differ")


def _show_replay(summary: Any, secure: tools.SecureRecord | None) -> None:
    how = "in plain" if secure is None else f"{secure.runs} secure runs"
    table = Table(title=f"schemes flagged, day by day; joint: {how}")
    for name in ("", "schemes", "flagged", "before end", "median days", "false alarms"):
        table.add_column(name, justify="right" if name else "left")
    for world, row in summary.items():
        days = "" if row["median_days"] is None else f"{row['median_days']:.1f}"
        counts = (row["schemes"], row["flagged"], row["before_end"])
        table.add_row(world, *map(str, counts), days, str(row["false_alarms"]))
    Console().print(table)
    if secure is not None:
        typer.echo(
            f"secure joint and plain: {secure.different} accounts flagged otherwise;"
            f" {secure.seconds:.0f} s, {secure.bytes_sent / 1e9:.1f} GB sent"
        )
        if secure.bound_used > 1:
            typer.echo(f"an error was {secure.bound_used:.1f} times what its run states", err=True)
