"""The ``simdata`` commands: make, import or look at a data set."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bank_node.errors import UnknownFormatError
from simdata.amlsim import import_amlsim
from simdata.dataset import Dataset, describe_time
from simdata.describe import describe as describe_dataset
from simdata.generate import generate as generate_dataset
from simdata.tno import import_tno

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Make, import or look at labelled data sets that are split over banks.",
)

_FORMATS = {"amlsim": import_amlsim, "tno": import_tno}

Csv = Annotated[bool, typer.Option("--csv", help="Write CSV instead of Parquet.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an older data set in OUT.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for a program to read.")]


@contextmanager
def _working(text: str) -> Iterator[None]:
    """Show that something is going on, if a person is looking."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(text):
        yield


def _report(out: Path, dataset: Dataset, as_json: bool) -> None:
    if as_json:
        values = asdict(dataset) | {"folder": str(out)}
        for key in ("first", "last"):
            values[f"{key}_timestamp"] = describe_time(values.pop(key))
        typer.echo(json.dumps(values))
        return
    typer.echo(f"{out}: {dataset.name}, banks {', '.join(dataset.banks)}")
    typer.echo(f"Look at it with: undercurrent simdata describe {out}")


@app.command(
    epilog="Examples: undercurrent simdata generate data --banks 4 --accounts 20000 --seed 7; "
    "undercurrent simdata generate small --accounts 300 --days 7 --csv"
)
def generate(
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    banks: Annotated[int, typer.Option(help="Number of banks.")] = 3,
    accounts: Annotated[int, typer.Option(help="Accounts of all banks together.")] = 3000,
    days: Annotated[int, typer.Option(help="Length in days.")] = 30,
    seed: Annotated[int, typer.Option(help="Seed: the same one gives the same files.")] = 1,
    payments_per_account: Annotated[
        float, typer.Option(help="Ordinary payments for each account, on average.")
    ] = 10.0,
    schemes: Annotated[
        int | None,
        typer.Option(help="Laundering schemes.", show_default="one for each 150 accounts"),
    ] = None,
    csv: Csv = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Simulate payments between the accounts of several banks, with laundering across them."""
    with _working("Simulating payments"):
        dataset = generate_dataset(
            out,
            banks=banks,
            accounts=accounts,
            days=days,
            seed=seed,
            payments_per_account=payments_per_account,
            schemes=schemes,
            csv=csv,
            force=force,
        )
    _report(out, dataset, as_json)


@app.command(
    "import",
    epilog="Examples: undercurrent simdata import amlsim 20K_cycle200.tgz cycles --banks 5; "
    "undercurrent simdata import amlsim outputs/sample data --csv; "
    "undercurrent simdata import tno small data",
)
def import_(
    format_: Annotated[
        str, typer.Argument(metavar="FORMAT", help=f"One of: {', '.join(_FORMATS)}.")
    ],
    src: Annotated[Path, typer.Argument(help="Archive or folder to read.")],
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    banks: Annotated[
        int | None,
        typer.Option(help="Banks to split over, if SRC has none.", show_default="3"),
    ] = None,
    csv: Csv = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Turn a data set of another format into a data set folder."""
    reader = _FORMATS.get(format_.lower())
    if reader is None:
        raise UnknownFormatError(
            f"The format {format_} is not known", f"Use one of: {', '.join(_FORMATS)}"
        )
    with _working(f"Importing {src.name}"):
        dataset = reader(src, out, banks=banks, csv=csv, force=force)
    _report(out, dataset, as_json)


@app.command(
    epilog="Examples: undercurrent simdata describe data; "
    "undercurrent simdata describe data --json | jq .banks"
)
def describe(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a data set.")],
    as_json: AsJson = False,
) -> None:
    """Count what is in a data set, each bank's part as its node would read it."""
    with _working(f"Reading {folder}"):
        found = describe_dataset(folder)
    if as_json:
        typer.echo(json.dumps(found))
        return
    _print_description(found)


def _print_description(found: dict[str, Any]) -> None:
    seed = "" if found["seed"] is None else f", seed {found['seed']}"
    typer.echo(f"{found['name']}{seed}: {found['first_timestamp']} to {found['last_timestamp']}")
    console = Console(width=None if Console().is_terminal else 160)
    console.print(_bank_table(found))
    if found["illicit_accounts"] is not None:
        kinds = ", ".join(f"{name} {n}" for name, n in found["typologies"].items())
        typer.echo(f"Illicit accounts: {found['illicit_accounts']}{f' ({kinds})' if kinds else ''}")
    for bank in found["banks"]:
        for reason, n in bank["rejected"].items():
            typer.echo(f"{bank['bank']}: {n} rows rejected: {reason}")


def _bank_table(found: dict[str, Any]) -> Table:
    table = Table()
    titles = ("accounts", "only in payments", "payments", "cross-bank", "illicit", "rejected")
    table.add_column("bank")
    for title in titles:
        table.add_column(title, justify="right")
    table.add_column(f"amount {found['base_currency'] or ''}".strip(), justify="right")
    for bank in found["banks"]:
        illicit = bank["illicit_accounts"]
        table.add_row(
            bank["bank"],
            str(bank["accounts"]),
            str(bank["accounts_only_in_payments"]),
            str(bank["payments"]),
            f"{bank['cross_bank_share']:.1%}",
            "" if illicit is None else str(illicit),
            str(sum(bank["rejected"].values())),
            bank["amount"],
        )
    return table
