"""The commands ``undercurrent lab``."""

import json
import tomllib
from pathlib import Path
from textwrap import fill
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bank_node.errors import ParameterError
from bank_node.ingest import canonical_bank
from bank_node.job import Deadlines
from simdata.lab import LabRequest, run_lab
from undercurrent.comparison import compare, replay
from undercurrent.identifiability import identifiability
from undercurrent.options import parse_pairs
from undercurrent.progress import run_interruptible, show_progress

__all__ = ["app"]

app = typer.Typer(
    help="Replay a data set through the real secure code on this machine.", no_args_is_help=True
)


@app.callback()
def _lab() -> None:
    """Replay a data set through the real secure code on this machine."""


@app.command("run")
def run(
    data: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the data set.")],
    analysis: Annotated[str, typer.Option(help="Name of the analysis, for example pagerank.")],
    out: Annotated[Path, typer.Option(help="Folder for the results.")],
    parameter: Annotated[
        list[str] | None, typer.Option("-p", metavar="KEY=VALUE", help="A parameter; repeatable.")
    ] = None,
    params: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Parameters from a TOML file.")
    ] = None,
    policy: Annotated[str, typer.Option(help="Output policy.")] = "exact",
    compute: Annotated[int, typer.Option(help="Number of compute parties without data.")] = 0,
    prepared: Annotated[
        Path | None,
        typer.Option(metavar="PREPARED", help="Use columns that lab prepare wrote; traces only."),
    ] = None,
    deadline: Annotated[
        float, typer.Option(min=1, help="Seconds until a silent party is given up.")
    ] = 10.0,
    force: Annotated[bool, typer.Option("--force", help="Replace results that are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print run.json.")] = False,
) -> None:
    """Run one analysis jointly: a process per bank, mutual TLS, results per bank.

    Examples:

      undercurrent lab run DATA --analysis pagerank --out OUT

      undercurrent lab run DATA --analysis risk-propagation -p slice=1d --out OUT

      undercurrent lab run DATA --analysis trace -p bank=B -p account=A1 --out OUT

      undercurrent lab run DATA --analysis round-trip -p scope=in_scope --out OUT

      undercurrent lab run TWO_BANKS --analysis pagerank --compute 1 --out OUT

    Policies: exact; bands:0.2,0.5,0.8 (the band of each account);
    threshold:0.8:0.05 (accounts at or above 0.8, rounded to 0.05).
    For traces they apply to shares of what the sources paid.

    Of pagerank: alpha=0.85, tolerance=1e-6 or iterations,
    weight=amount|count|none, personalisation=uniform|risk_score,
    direction=forward|backward|both (against the payments: who funds this?).

    Of risk-propagation: iterations=2, delta, or a=0.3 and b=0.8 for a/k^b,
    slice=all|1d|12h|..., since, until (the days of the data set).

    Of trace: bank, account (private, repeatable), since, until, slice=1d,
    hops=3, direction=forward|backward, depth=off|N. For several traces give
    a list of tables trace with bank and accounts in a --params file.

    Of round-trip: since, until, slice=all|1d|..., hops=4,
    scope=all|in_scope, columns=exact|batched, per_column=10, repetitions=2.

    Of all: precision=high|standard, and max_unmatched=1.0, the share of
    cross-bank payments known to one bank only above which a bank refuses.
    """
    request = LabRequest(
        data=data,
        analysis=analysis,
        out=out,
        parameters=_read_parameters(params) | parse_pairs(parameter or []),
        policy=policy,
        compute=compute,
        deadlines=Deadlines(silence=deadline),
        force=force,
        prepared=prepared,
    )
    _run_and_tell(request, f"results: {out}/<bank>, {out}/run.json", as_json=as_json)


@app.command("prepare")
def prepare(
    data: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the data set.")],
    analysis: Annotated[str, typer.Option(help="Name of the analysis: trace.")],
    out: Annotated[Path, typer.Option(help="Folder for the columns of all parties.")],
    parameter: Annotated[
        list[str] | None, typer.Option("-p", metavar="KEY=VALUE", help="A parameter; repeatable.")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Number of later runs to prepare for.")] = 1,
    compute: Annotated[int, typer.Option(help="Number of compute parties without data.")] = 0,
    deadline: Annotated[
        float, typer.Option(min=1, help="Seconds until a silent party is given up.")
    ] = 10.0,
    force: Annotated[bool, typer.Option("--force", help="Replace columns that are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print prepared.json.")] = False,
) -> None:
    """Prepare columns ahead, so that a later lab run --prepared pays only for the hops.

    Which accounts will be asked about need not be known, only which bank asks
    (bank, or traces for several). Each party's columns are encrypted with its
    own key and used once.

    Examples:

      undercurrent lab prepare DATA --analysis trace -p bank=B --runs 5 --out COLS

      undercurrent lab prepare DATA --analysis trace -p traces=B=2,C=1 --out COLS

    Then, as often as there are runs, with the same parameters:

      undercurrent lab run DATA --analysis trace -p bank=B -p account=A1
      --prepared COLS --out OUT
    """
    parameters = parse_pairs(parameter or [])
    if "bank" in parameters and "account" not in parameters:
        parameters["traces"] = f"{canonical_bank(parameters.pop('bank'))}=1"
    request = LabRequest(
        data=data,
        analysis=analysis,
        out=out,
        parameters=parameters,
        compute=compute,
        deadlines=Deadlines(silence=deadline),
        force=force,
        prepare_runs=runs,
    )
    _run_and_tell(request, f"columns for {runs} run{'s' * (runs != 1)}: {out}", as_json=as_json)


app.command("compare")(compare)
app.command("replay")(replay)
app.command("identifiability")(identifiability)


def _read_parameters(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ParameterError(f"{path}: {error.strerror}", "Check --params") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ParameterError(f"{path}: {error}", "Correct the TOML file") from error


def _run_and_tell(request: LabRequest, where: str, *, as_json: bool) -> None:
    """Run with a progress bar and print the record, or a summary that says where things are."""
    with show_progress(request.analysis) as on_event:
        record = run_interruptible(run_lab(request, on_event))
    if as_json:
        typer.echo(json.dumps(record, indent=2))
    else:
        _summarise(record, where)


def _summarise(record: dict[str, Any], where: str) -> None:
    console = Console()
    seconds = record["seconds"]
    table = Table(title=f"{record['analysis']}, {record['iterations']} iterations")
    for name, justify in (
        ("party", "left"),
        ("role", "left"),
        ("accounts", "right"),
        ("edges", "right"),
        ("MB sent", "right"),
        ("peak MB", "right"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for party in record["parties"]:
        name = party["id"]
        table.add_row(
            name,
            party["role"],
            f"{party['accounts']:,}",
            f"{party['edges']:,}",
            f"{record['bytes_sent'][name]['all_with_framing'] / 1e6:,.1f}",
            f"{record['peak_memory_bytes'][name] / 1e6:,.0f}",
        )
    console.print(table)
    # A no-break space keeps a phase, its time and the unit on one line.
    spent = " ".join(f"{phase}\u00a0{value:.2f}\u00a0s " for phase, value in seconds.items())
    typer.echo(fill(spent.rstrip(), console.width))
    rejected = sum(sum(i["rejected"].values()) for i in record["ingest"].values())
    if rejected:
        console.print(f"{rejected:,} rows could not be used: see rejected.csv of each bank")
    console.print(where, highlight=False)
