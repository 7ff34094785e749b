"""``undercurrent lab identifiability``: what results give away about other banks' scores.

The measure is ``simdata.identifiability``; here it is given a random graph, or the graph of a data
set as the banks' nodes build it: amounts of the receiver's bank, payments that only one of the two
banks knows left out, all payments in one slice.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bank_node.errors import ParameterError
from bank_node.ingest import read_bank
from bank_node.partition import Partition, build_partition
from graph_mpc.graph import OUTSIDE
from graph_mpc.policy import Policy, parse_policy
from simdata.dataset import bank_folder, read_dataset
from simdata.identifiability import LAST_GROUP, ScoredGraph, Scores, measure, random_graph

__all__ = ["identifiability", "read_graph"]

_POLICIES = ("exact", "bands:0.2,0.5,0.8", "threshold:0.8:0.05")
_WIDE = 110
_MODEL: dict[str, Any] = {
    "accounts": 1500,
    "banks": 3,
    "in_degree": "1,2,4,8",
    "scores": "uniform",
    "runs": 1,
}


def identifiability(
    data: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="Data set to measure on, instead of random graphs."),
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(help="Output policy; repeatable.", show_default=", ".join(_POLICIES)),
    ] = None,
    accounts: Annotated[
        int | None, typer.Option(min=2, help="Accounts of a random graph.", show_default="1500")
    ] = None,
    banks: Annotated[int | None, typer.Option(min=2, help="Its banks.", show_default="3")] = None,
    in_degree: Annotated[
        str | None,
        typer.Option(help="Mean number of payers of an account.", show_default="1,2,4,8"),
    ] = None,
    scores: Annotated[
        str | None,
        typer.Option(
            help="Private scores: uniform, or skewed (most are low).", show_default="uniform"
        ),
    ] = None,
    runs: Annotated[
        int | None,
        typer.Option(min=1, help="Runs on the same scores, new payments.", show_default="1"),
    ] = None,
    delta: Annotated[float, typer.Option(help="Weight of what was received.")] = 0.3,
    pinned_below: Annotated[
        float, typer.Option(help="A score is pinned if its interval is narrower.")
    ] = 0.01,
    programmes: Annotated[
        int, typer.Option(min=1, help="Most senders of a bank that get linear programmes.")
    ] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all that is drawn.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure how far a bank can work out the private scores of payers at other banks.

    A bank knows who paid its accounts, and gets results that depend on the
    payers' scores. Shown is, for each policy, the share of external senders
    whose score the equations give (exact only), whose interval is below 0.01
    (pinned), 0.1 or 0.5, and how wide the intervals are.

    Examples:

      undercurrent lab identifiability

      undercurrent lab identifiability --in-degree 2
      --policy bands:0.25,0.5,0.75 --runs 5

      undercurrent lab identifiability --scores skewed
      --policy threshold:0.8:0.05 --json

      undercurrent lab identifiability DATA --policy exact
      --policy bands:0.2,0.5,0.8 --delta 0.5
    """
    given = {
        "accounts": accounts,
        "banks": banks,
        "in_degree": in_degree,
        "scores": scores,
        "runs": runs,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if not 0 < delta <= 1:
        raise ParameterError(f"--delta {delta} is not above 0 and at most 1", "Try --delta 0.3")
    if not 0 < pinned_below <= 1:
        raise ParameterError(
            f"--pinned-below {pinned_below} is not above 0 and at most 1", "Try 0.01"
        )
    policies = [parse_policy(text) for text in policy or _POLICIES]
    model = _MODEL | given
    degrees = _degrees(model)
    if data is not None and given:
        option = next(iter(given)).replace("_", "-")
        raise ParameterError(
            f"--{option} describes random graphs, and {data} has a graph of its own",
            f"Leave out --{option}, or the folder",
        )
    rows = _measure(data, model, degrees, policies, delta, pinned_below, programmes, seed)
    if as_json:
        about = {"data": str(data)} if data is not None else model
        common = {"delta": delta, "pinned_below": pinned_below, "seed": seed}
        typer.echo(json.dumps({**about, **common, "rows": rows}, indent=2))
    else:
        _show(rows, pinned_below)


def _degrees(model: dict[str, Any]) -> list[float]:
    """Check the model of the random graphs and return the mean in-degrees to measure."""
    if model["scores"] not in ("uniform", "skewed"):
        raise ParameterError(f"--scores {model['scores']} is not known", "Use uniform or skewed")
    if model["banks"] > model["accounts"]:
        raise ParameterError(
            f"{model['accounts']} accounts are fewer than {model['banks']} banks",
            "Give more --accounts",
        )
    try:
        degrees = [float(part) for part in str(model["in_degree"]).split(",")]
    except ValueError:
        raise ParameterError(
            f"--in-degree {model['in_degree']} is not a list of numbers", "Write for example 1,2,4"
        ) from None
    most = (model["accounts"] - 1) / 2  # distinct payers are drawn again until they are distinct
    if not all(0 < degree <= most for degree in degrees):
        raise ParameterError(
            f"--in-degree {model['in_degree']} is not above 0 and at most half the accounts",
            "Give a smaller mean, or more --accounts",
        )
    return degrees


def _measure(
    data: Path | None,
    model: dict[str, Any],
    degrees: Sequence[float],
    policies: Sequence[Policy],
    delta: float,
    pinned_below: float,
    programmes: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Return one row for each graph and policy."""
    cells = [(degree, policy) for degree in (degrees if data is None else [0.0])
             for policy in policies]  # fmt: skip
    console = Console(stderr=True)
    rows = []
    own = None if data is None else read_graph(data)
    for degree, policy in track(
        cells, "Measuring", console=console, transient=True, disable=not console.is_terminal
    ):
        graph = own or random_graph(
            model["accounts"],
            model["banks"],
            degree,
            np.random.default_rng([seed, 0]),
            scores=cast(Scores, model["scores"]),
            runs=model["runs"],
        )
        (exposure,) = measure(
            graph,
            [policy],
            delta,
            np.random.default_rng([seed, 1]),
            pinned_below=pinned_below,
            programmes=programmes,
        )
        rows.append({"in_degree": None if own else degree} | asdict(exposure))
    return rows


def read_graph(folder: Path) -> ScoredGraph:
    """Read the joint graph of a data set folder, as the banks' partitions have it.

    Raises:
        DataError: a file cannot be used at all.
        ParameterError: no payment has its payer at another bank.
    """
    dataset = read_dataset(folder)
    parts = [
        build_partition(
            read_bank(
                bank_folder(folder, bank),
                bank,
                base_currency=dataset.base_currency,
                rates=dataset.rates,
            ),
            bank,
            dataset.banks,
        )
        for bank in dataset.banks
    ]
    graph = _join(parts)
    if not np.any(graph.bank[graph.source] != graph.bank[graph.target]):
        raise ParameterError(
            f"{folder}: no payment comes from another bank of the data set",
            "Name a data set with payments between its banks",
        )
    return graph


def _join(parts: Sequence[Partition]) -> ScoredGraph:
    sizes = [part.graph.vertices for part in parts]
    first = np.cumsum([0, *sizes])
    bank = np.repeat(np.arange(len(parts)), sizes)
    keys = _keys(np.concatenate([part.graph.vertex_key for part in parts]))
    edges = [_edges(part, int(start), keys) for part, start in zip(parts, first, strict=False)]
    incoming = np.concatenate(
        [e[:, bank[e[1]] == number] for number, e in enumerate(edges)], axis=1
    )
    source, target, weight = incoming
    outgoing = np.concatenate(
        [e[:, bank[e[0]] == number] for number, e in enumerate(edges)], axis=1
    )
    both = np.isin(source * first[-1] + target, outgoing[0] * first[-1] + outgoing[1])
    used = both & (weight > 0)
    return ScoredGraph(
        bank=bank,
        score=np.concatenate([part.risk for part in parts]),
        source=source[used],
        target=target[used],
        weight=weight[used].astype(np.float64),
        run=np.zeros(np.count_nonzero(used), np.int64),
    )


def _keys(keys: NDArray[np.uint8]) -> pa.Array:
    """Keys of accounts, uint8 (n, 32), as an Arrow array of n binary values."""
    values = pa.py_buffer(np.ascontiguousarray(keys).tobytes())
    return pa.Array.from_buffers(pa.binary(32), len(keys), [None, values])


def _edges(part: Partition, first: int, keys: pa.Array) -> NDArray[np.int64]:
    """Source, target and amount of a bank's edges between accounts of the data set, int64 (3, e).

    ``first`` is the number of the bank's first account, ``keys`` are those of all accounts.
    """
    graph = part.graph
    found = pc.fill_null(pc.index_in(_keys(graph.neighbour_key), keys), -1)
    neighbour = np.where(graph.neighbour_owner == OUTSIDE, -1, found.to_numpy().astype(np.int64))
    place = np.concatenate([np.arange(graph.vertices) + first, neighbour[::-1]])
    edges = np.stack([place[graph.source], place[graph.target], graph.weight])
    used: NDArray[np.int64] = edges[:, (edges[:2] >= 0).all(axis=0)]
    return used


def _show(rows: Sequence[dict[str, Any]], pinned_below: float) -> None:
    table = Table(title="external senders, by what a receiving bank can work out of their score")
    table.add_column("degree", justify="right")
    table.add_column("policy", overflow="fold")
    console = Console(width=None if Console().is_terminal else 160)
    is_wide = console.width >= _WIDE
    names = ["senders", "determined", f"< {pinned_below:g}", "< 0.1", "< 0.5"]
    for name in [*names, "mean width", "10, 50, 90 %"] if is_wide else names:
        table.add_column(name, justify="right")
    for row in rows:
        degree = "data" if row["in_degree"] is None else f"{row['in_degree']:g}"
        _add(table, degree, row["policy"], row, is_wide=is_wide)
        for group in row["groups"]:
            _add(table, "", f"  degree {_size(group)}", group, is_wide=is_wide)
    console.print(table)
    if not is_wide:
        typer.echo("A terminal of 110 columns, or --json, shows the widths too.")
    unsolved = sum(row["unsolved"] for row in rows)
    if unsolved:
        typer.echo(f"{unsolved} bounds could not be solved: the shares are lower bounds")


def _size(group: dict[str, Any]) -> str:
    return f"{'≥ ' if group['in_degree'] == LAST_GROUP else ''}{group['in_degree']}"


def _add(table: Table, degree: str, name: str, row: dict[str, Any], *, is_wide: bool) -> None:
    quantiles = row.get("quantiles")
    cells = (
        degree,
        name,
        f"{row['senders']:,}",
        _share(row["determined"]),
        _share(row["pinned"]),
        _share(row.get("narrow")),
        _share(row.get("halved")),
        "" if row["mean_width"] is None else f"{row['mean_width']:.2f}",
        "" if quantiles is None else ", ".join(f"{width:.2f}" for width in quantiles),
    )
    table.add_row(*(cells if is_wide else cells[:-2]))


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"
