"""The ``simdata`` commands: make, import, export or look at a data set."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bank_node.errors import ParameterError, UnknownFormatError
from simdata.amlsim import import_amlsim
from simdata.amlworld import import_amlworld
from simdata.csv_import import import_csv
from simdata.dataset import Dataset, describe_time
from simdata.describe import describe as describe_dataset
from simdata.exporting import export_amlworld, export_csv
from simdata.generator import PRESETS, build_dataset, config_toml, read_config
from simdata.rejects import REJECTED, count_rejected
from simdata.saml_d import import_saml_d
from simdata.tno import import_tno

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Make, import, export or look at labelled data sets that are split over banks.",
)


@dataclass(frozen=True)
class _Format:
    """A format: its functions, and the options that they know beside the common ones."""

    read: Callable[..., Dataset]
    options: tuple[str, ...] = ()
    write: Callable[..., Dataset] | None = None


_FORMATS: Mapping[str, _Format] = {
    "amlsim": _Format(import_amlsim),
    "amlworld": _Format(import_amlworld, ("seed",), export_amlworld),
    "saml-d": _Format(import_saml_d, ("seed",)),
    "tno": _Format(import_tno),
    "csv": _Format(import_csv, ("seed", "column_map"), export_csv),
}
_WRITABLE = [name for name, known in _FORMATS.items() if known.write is not None]

Csv = Annotated[bool, typer.Option("--csv", help="Write CSV instead of Parquet.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an older data set in OUT.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for a program to read.")]
Preset = Annotated[
    str | None,
    typer.Option(help=f"Settings to start from: {', '.join(PRESETS)}.", show_default="small"),
]
Config = Annotated[
    Path | None, typer.Option(help="TOML file with settings that differ from the preset's.")
]
Map = Annotated[
    Path | None, typer.Option("--map", help="TOML file that says which column is what (csv).")
]


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
    rejected = count_rejected(out)
    if as_json:
        values = asdict(dataset) | {"folder": str(out), "rejected": rejected}
        for key in ("first", "last"):
            values[f"{key}_timestamp"] = describe_time(values.pop(key))
        typer.echo(json.dumps(values))
        return
    typer.echo(f"{out}: {dataset.name}, {len(dataset.banks)} banks")
    for reason, n in rejected.items():
        typer.echo(f"{n:,} rows left out: {reason} (see {REJECTED})")
    typer.echo(f"Look at it with: undercurrent simdata describe {out}")


@app.command()
def generate(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    preset: Preset = None,
    config: Config = None,
    seed: Annotated[int, typer.Option(help="Seed: the same one gives the same files.")] = 1,
    banks: Annotated[int | None, typer.Option(help="Number of banks.")] = None,
    accounts: Annotated[int | None, typer.Option(help="Accounts of all banks together.")] = None,
    days: Annotated[int | None, typer.Option(help="Length in days.")] = None,
    payments_per_account: Annotated[
        float | None, typer.Option(help="Ordinary payments for each account, on average.")
    ] = None,
    schemes: Annotated[int | None, typer.Option(help="Number of laundering schemes.")] = None,
    cross_bank: Annotated[
        float | None, typer.Option(help="Share of laundering steps that lead to another bank.")
    ] = None,
    csv: Csv = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Simulate payments between the accounts of several banks, with laundering across them.

    Single options win over the file, and the file over the preset.

    Examples:

      undercurrent simdata generate DATA --preset medium --seed 7

      undercurrent simdata generate DATA --config mine.toml

      undercurrent simdata generate DATA --accounts 300 --days 7 --csv
    """
    size = {
        "banks": banks,
        "accounts": accounts,
        "days": days,
        "payments_per_account": payments_per_account,
    }
    changes = {"size": size, "laundering": {"schemes": schemes, "cross_bank": cross_bank}}
    given = {
        section: {key: value for key, value in values.items() if value is not None}
        for section, values in changes.items()
    }
    settings = read_config(config, preset, given)
    with _working("Simulating payments"):
        dataset = build_dataset(out, settings, seed, csv=csv, force=force)
    _report(out, dataset, as_json)


@app.command()
def settings(preset: Preset = None, config: Config = None, as_json: AsJson = False) -> None:
    """Print all settings of the generator as TOML, to be changed and given to --config.

    Examples:

      undercurrent simdata settings --preset medium > mine.toml

      undercurrent simdata settings --config mine.toml
    """
    found = read_config(config, preset)
    typer.echo(found.model_dump_json() if as_json else config_toml(found), nl=as_json)


@app.command("import")
def import_(
    format_: Annotated[
        str, typer.Argument(metavar="FORMAT", help=f"One of: {', '.join(_FORMATS)}.")
    ],
    src: Annotated[Path, typer.Argument(metavar="SRC", help="Archive, file or folder to read.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    banks: Annotated[
        int | None,
        typer.Option(
            help="Banks to split over, or to merge into.",
            show_default="the file's, else 3; above 64: 8",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the split over banks.", show_default="1")
    ] = None,
    column_map: Map = None,
    csv: Csv = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Turn a data set of another format into a data set folder.

    Rows that cannot be used go to rejected.csv in OUT, each with its reason,
    and are counted.

    Examples:

      undercurrent simdata import amlsim 20K_cycle200.tgz DATA --banks 5

      undercurrent simdata import amlworld HI-Small_Trans.csv DATA

      undercurrent simdata import saml-d SAML-D.csv DATA --banks 4 --seed 2

      undercurrent simdata import csv PAYMENTS DATA --map columns.toml

      undercurrent simdata import tno FOLDER DATA
    """
    known = _find_format(format_, list(_FORMATS))
    options = _options(format_, known, {"seed": seed, "column_map": column_map})
    with _working(f"Importing {src.name}"):
        dataset = known.read(src, out, banks=banks, csv=csv, force=force, **options)
    _report(out, dataset, as_json)


@app.command()
def export(
    format_: Annotated[
        str, typer.Argument(metavar="FORMAT", help=f"One of: {', '.join(_WRITABLE)}.")
    ],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a data set.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    column_map: Map = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an older export in OUT.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a data set, all banks together with the labels, in another format.

    Examples:

      undercurrent simdata export amlworld DATA OUT

      undercurrent simdata export csv DATA OUT --map columns.toml
    """
    known = _find_format(format_, _WRITABLE)
    options = _options(format_, known, {"column_map": column_map})
    with _working(f"Exporting {folder}"):
        dataset = known.write(folder, out, force=force, **options)  # type: ignore[misc]
    files = sorted(path.name for path in out.iterdir())
    if as_json:
        typer.echo(json.dumps({"folder": str(out), "name": dataset.name, "files": files}))
    else:
        typer.echo(f"{out}: {', '.join(files)}")


def _find_format(name: str, usable: list[str]) -> _Format:
    if name.lower() not in usable and name.lower() in _FORMATS:
        raise UnknownFormatError(
            f"The format {name} can be imported, not written", f"Use one of: {', '.join(usable)}"
        )
    if name.lower() not in usable:
        raise UnknownFormatError(
            f"The format {name} is not known here", f"Use one of: {', '.join(usable)}"
        )
    return _FORMATS[name.lower()]


def _options(name: str, known: _Format, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given; refuses one that the format does not know."""
    options = {key: value for key, value in given.items() if value is not None}
    for key in options:
        if key not in known.options:
            option = {"column_map": "--map"}.get(key, f"--{key}")
            raise ParameterError(f"The format {name} has no {option}", f"Leave out {option}")
    return options


@app.command()
def describe(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a data set.")],
    as_json: AsJson = False,
) -> None:
    """Count what is in a data set, each bank's part as its node would read it.

    Examples:

      undercurrent simdata describe DATA

      undercurrent simdata describe DATA --json | jq .banks
    """
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
        illicit = f"{found['illicit_accounts']:,}{f' ({kinds})' if kinds else ''}"
        console.print(f"Illicit accounts: {illicit}", highlight=False, markup=False)
    for bank in found["banks"]:
        if extra := bank["accounts_only_in_payments"]:
            typer.echo(f"{bank['bank']}: {extra:,} of the accounts only in payments")
        for reason, n in bank["rejected"].items():
            typer.echo(f"{bank['bank']}: {n:,} rows rejected: {reason}")


def _bank_table(found: dict[str, Any]) -> Table:
    """Lay out the banks' counts for 80 columns."""
    rows = [_bank_cells(bank) for bank in found["banks"]]
    titles = list(rows[0]) if rows else []
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("bank", overflow="fold")
    for title in titles:
        unit = f" {found['base_currency']}" if title == "amount" and found["base_currency"] else ""
        table.add_column(f"{title}{unit}", justify="right", no_wrap=True)
    for bank, row in zip(found["banks"], rows, strict=True):
        table.add_row(bank["bank"], *(row[title] for title in titles))
    return table


def _bank_cells(bank: dict[str, Any]) -> dict[str, str]:
    """Return what is told of a bank, by the titles of the columns."""
    illicit = bank["illicit_accounts"]
    return {
        "accounts": f"{bank['accounts']:,}",
        "payments": f"{bank['payments']:,}",
        "cross-bank": f"{bank['cross_bank_share']:.1%}",
        "illicit": "" if illicit is None else f"{illicit:,}",
        "amount": f"{Decimal(bank['amount']):,}",
    }
