"""The commands ``undercurrent lab``."""

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bank_node.errors import ParameterError
from bank_node.job import Deadlines
from simdata.lab import LabRequest, run_lab
from undercurrent.progress import run_interruptible, show_progress

__all__ = ["app", "parse_pairs"]

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
    deadline: Annotated[
        float, typer.Option(min=1, help="Seconds until a silent party is given up.")
    ] = 10.0,
    force: Annotated[bool, typer.Option("--force", help="Replace results that are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print run.json.")] = False,
) -> None:
    """Run one analysis jointly: a process per bank, mutual TLS, results per bank.

    Examples:

      undercurrent lab run DATA --analysis pagerank --out OUT

      undercurrent lab run DATA --analysis pagerank -p alpha=0.9 -p weight=count --out OUT

      undercurrent lab run TWO_BANKS --analysis pagerank --compute 1 --out OUT

    Parameters of pagerank: alpha=0.85, tolerance=1e-6 or iterations, weight=amount|count|none,
    personalisation=uniform|risk_score, precision=high|standard, max_unmatched=1.0 (share of
    cross-bank payments known to one bank only above which a bank refuses the run).
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
    )
    with show_progress(analysis) as on_event:
        record = run_interruptible(run_lab(request, on_event))
    if as_json:
        typer.echo(json.dumps(record, indent=2))
    else:
        _summarise(record, out)


def parse_pairs(pairs: list[str]) -> dict[str, Any]:
    """Return the parameters of ``-p key=value`` options; ``account`` may be given several times."""
    parameters: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise ParameterError(f"-p {pair!r} is not KEY=VALUE", "Write for example -p alpha=0.85")
        if key.strip() == "account":
            parameters.setdefault("account", []).append(value.strip())
            continue
        if key.strip() in parameters:
            raise ParameterError(f"-p {key.strip()} is given twice", "Give it once")
        parameters[key.strip()] = value.strip()
    return parameters


def _read_parameters(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ParameterError(f"{path}: {error.strerror}", "Check --params") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ParameterError(f"{path}: {error}", "Correct the TOML file") from error


def _summarise(record: dict[str, Any], out: Path) -> None:
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
    spent = "  ".join(f"{phase} {value:.2f} s" for phase, value in seconds.items())
    console.print(spent, highlight=False)
    rejected = sum(sum(i["rejected"].values()) for i in record["ingest"].values())
    if rejected:
        console.print(f"{rejected:,} rows could not be used: see rejected.csv of each bank")
    console.print(f"results: {out}/<bank>/scores.csv, {out}/run.json", highlight=False)
