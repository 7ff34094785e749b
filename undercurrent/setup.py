"""The commands ``undercurrent node init``, ``node backup`` and ``node restore``."""

import getpass
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from bank_node.node.config import default_folder, read_config
from bank_node.operation.backup import backup as write_backup
from bank_node.operation.doctor import examine_new
from bank_node.operation.errors import AnswerError
from bank_node.operation.findings import Finding
from bank_node.operation.node_folder import check_answers, check_free, create_node
from bank_node.operation.restore import restore as read_backup
from bank_node.operation.template import Answers, SourceAnswers
from undercurrent.doctor import findings_table

__all__ = ["backup", "init", "restore"]

_SOURCES = ("csv", "parquet", "postgresql", "none")

Role = Literal["bank", "compute"]
SourceKind = Literal["csv", "parquet", "postgresql", "none"]


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The node's folder; a new one.")],
    member: Annotated[
        str, typer.Option("--id", help="Id of this member, as the agreement will name it.")
    ] = "",
    consortium: Annotated[str, typer.Option(help="Name of the consortium.")] = "",
    role: Annotated[Role, typer.Option(help="With accounts, or without data.")] = "bank",
    bic: Annotated[str, typer.Option(help="Business identifier code.")] = "",
    host: Annotated[
        str, typer.Option(help="Where the other members' workers reach this one's.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="First port of the workers.")] = 9400,
    broker: Annotated[
        str, typer.Option(help="The MQTT broker; mqtt:// on this machine only.")
    ] = "mqtt://127.0.0.1:1883",
    store: Annotated[str, typer.Option(help="The node's database.")] = "sqlite:///node.db",
    data: Annotated[SourceKind, typer.Option(help="Where transactions come from.")] = "none",
    data_folder: Annotated[
        Path | None, typer.Option(help="Folder of the files (csv, parquet).")
    ] = None,
    dsn_file: Annotated[
        Path | None, typer.Option(help="File (0600) with PostgreSQL's connection string.")
    ] = None,
    transactions: Annotated[
        str, typer.Option(help="Pattern of file names; table or query of PostgreSQL.")
    ] = "",
    accounts: Annotated[str, typer.Option(help="The same for accounts.")] = "",
    watermark: Annotated[
        str, typer.Option(help="Column of PostgreSQL's transactions that only grows.")
    ] = "",
    currency: Annotated[str, typer.Option(help="Currency of all amounts inside.")] = "EUR",
    retention: Annotated[
        int, typer.Option(min=0, help="Days for which payments are kept; 0: no limit.")
    ] = 400,
    http_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Health and metrics on loopback; 0: none.")
    ] = 9480,
    web_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Application for the bank's people; 0: none.")
    ] = 9481,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask nothing; take the options as they are.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was made as JSON.")] = False,
) -> None:
    """Set a node up: keys, settings with a word on each, and a look at what it will need.

    Asks for what it has to know, with the options as the proposed answers; or
    takes the options as they are with --yes. The folder is made whole or not
    at all, with mode 0700, and an existing one is not touched.

    Examples:

      undercurrent node init bank-a

      undercurrent node init bank-a --yes --id bank-a --consortium north
      --bic NORTDEFF --host node.bank-a.example --broker mqtts://mq.example:8883
      --data csv --data-folder /srv/transactions

      undercurrent node init neutral --yes --id neutral --role compute
      --consortium north --host node.neutral.example
    """
    check_free(folder)
    answers = Answers(
        id=member,
        consortium=consortium,
        role=role,
        bic=bic.strip().upper(),
        host=host,
        port=port,
        broker=broker,
        store=store,
        source=_source(data, data_folder, dsn_file, transactions, accounts, watermark),
        currency=currency.strip().upper(),
        retention=retention,
        http_port=http_port,
        web_port=web_port,
    )
    if yes:
        _check_given(answers)
    else:
        answers = _interview(folder, answers)
    made = create_node(folder, answers)
    with Console(stderr=True).status("looking at data source and broker"):
        findings = list(examine_new(read_config(folder), _now()))
    steps = _next_steps(folder, answers)
    if as_json:
        told = {"folder": str(folder), "public_key": made.public_key, "next": steps}
        typer.echo(json.dumps(told | {"findings": [asdict(f) for f in findings]}, indent=2))
    else:
        _tell(folder, made.public_key, findings, steps)


def _now() -> int:
    return time.time_ns() // 1000


def _source(
    kind: SourceKind,
    folder: Path | None,
    dsn_file: Path | None,
    transactions: str,
    accounts: str,
    watermark: str,
) -> SourceAnswers | None:
    if kind == "none":
        if folder or dsn_file or transactions or accounts or watermark:
            raise AnswerError(
                "The source of transactions has no kind", "Add --data csv, parquet or postgresql"
            )
        return None
    return SourceAnswers(
        kind=kind,
        folder=None if folder is None else folder.absolute(),
        dsn_file=None if dsn_file is None else dsn_file.absolute(),
        transactions=transactions,
        accounts=accounts,
        watermark=watermark,
    )


def _check_given(answers: Answers) -> None:
    missing = [f"--{name}" for name in ("id", "consortium") if not getattr(answers, name)]
    if missing:
        raise AnswerError(f"{' and '.join(missing)} missing", "Give it, or leave out --yes")
    check_answers(answers)


def _interview(folder: Path, answers: Answers) -> Answers:
    """Ask for what only the operator knows; an answer that makes no sense is asked for again."""
    if not sys.stdin.isatty():
        raise AnswerError(
            "There is no terminal to ask questions on", "Give the answers as options, and --yes"
        )
    given = replace(answers, id=answers.id or folder.name, consortium=answers.consortium or "demo")
    given = _ask(given, "id", "Id of this member")
    given = _ask(given, "role", "Role: bank or compute")
    given = _ask(given, "bic", "Business identifier code (BIC), or nothing")
    given = _ask(given, "consortium", "Name of the consortium")
    given = _ask(given, "host", "Name or address at which the others reach this node")
    given = _ask(given, "port", "First port of the workers")
    given = _ask(given, "broker", "MQTT broker: mqtts://host:port, or mqtt:// on this machine")
    given = _ask(given, "store", "Database")
    if given.role == "compute":
        return replace(given, source=None)
    given = _ask_for_source(given)
    given = _ask(given, "currency", "Currency of all amounts inside")
    return _ask(given, "retention", "Days for which payments are kept; 0: no limit")


def _ask(answers: Answers, name: str, question: str) -> Answers:
    kind: Callable[[str], Any] = int if isinstance(getattr(answers, name), int) else str
    return _until_right(
        lambda: replace(
            answers,
            **{name: _clean(name, _prompt(question, getattr(answers, name), kind))},
        )
    )


def _prompt(question: str, proposed: Any, kind: Callable[[str], Any] = str) -> Any:
    """Ask on standard error: what is printed for programs stays free of questions."""
    return typer.prompt(question, proposed, type=kind, err=True)


def _clean(name: str, answer: Any) -> Any:
    upper = name in ("bic", "currency")
    return (
        answer.strip().upper() if upper else answer.strip() if isinstance(answer, str) else answer
    )


def _ask_for_source(answers: Answers) -> Answers:
    before = answers.source or SourceAnswers("csv")

    def ask() -> Answers:
        question = f"Where transactions come from: {', '.join(_SOURCES)}"
        kind = _prompt(question, before.kind).strip().lower()
        if kind not in _SOURCES:
            raise AnswerError(f"{kind} is no kind of source", f"One of {', '.join(_SOURCES)}")
        return replace(answers, source=None if kind == "none" else _ask_for_place(before, kind))

    return _until_right(ask)


def _ask_for_place(before: SourceAnswers, kind: Any) -> SourceAnswers:
    if kind == "postgresql":
        path = _prompt("File (0600) with the connection string", before.dsn_file or "dsn")
        watermark = _prompt("Column of transactions that only grows, or nothing", before.watermark)
        return replace(
            before,
            kind=kind,
            folder=None,
            dsn_file=Path(path).absolute(),
            watermark=watermark.strip(),
        )
    path = _prompt("Folder of the files", before.folder or "transactions")
    return replace(before, kind=kind, folder=Path(path).absolute(), dsn_file=None, watermark="")


def _until_right(ask: Callable[[], Answers]) -> Answers:
    while True:
        try:
            answers = ask()
            check_answers(answers)
        except AnswerError as error:
            typer.echo(str(error), err=True)
        else:
            return answers


def _next_steps(folder: Path, answers: Answers) -> list[str]:
    request = f"{answers.id}-request.toml"
    return [
        f"undercurrent consortium join --node {folder} --out {request}"
        "   (then send the request to the founder of the consortium)",
        f"undercurrent consortium new {answers.consortium} --node {folder} --out consortium.toml"
        "   (instead, if this member is the founder)",
        f"undercurrent doctor --node {folder}   (at any time)",
    ]


def _tell(folder: Path, public_key: str, findings: list[Finding], steps: list[str]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"made {folder}: keys, node.toml; public key {public_key}", markup=False)
    console.print(findings_table(findings))
    console.print("next:")
    for step in steps:
        console.print(f"  {step}", markup=False)


def backup(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="The backup; a new file.")],
    node: Annotated[
        Path | None, typer.Option("--node", metavar="DIR", help="The node's folder.")
    ] = None,
    with_keys: Annotated[
        bool, typer.Option("--with-keys", help="Copy the private keys, too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what is in it as JSON.")] = False,
) -> None:
    """Save a node into one file (0600), while it runs.

    Settings, agreements, certificates and the database of one moment. Never
    prepared columns, which must not be used twice; not the payments, which
    can be taken in again; private keys only with --with-keys: whoever reads
    the file is then this member. It holds results, so keep it as the database.

    Examples:

      undercurrent node backup /backup/bank-a.tar

      undercurrent node backup /safe/bank-a.tar --with-keys --node bank-a
    """
    folder = default_folder() if node is None else node
    report = write_backup(folder, target, now=_now(), with_keys=with_keys)
    if as_json:
        typer.echo(json.dumps(asdict(report) | {"path": str(report.path)}, indent=2))
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{target}: {len(report.files)} files, {report.bytes / 1e6:,.1f} MB")
    for left in report.left_out:
        console.print(f"  not in it: {left}", markup=False)


def restore(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A backup.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The node's folder; a new one.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Make a node's folder from a backup, so that nothing happens twice.

    Prepared columns are marked as used up, message numbers go on far above
    those of the backup, and the payments are taken in anew. A database on a
    server is restored from its dump first.

    Examples:

      undercurrent node restore /backup/bank-a.tar /var/lib/undercurrent/bank-a
    """
    report = read_backup(source, folder, now=_now(), person=_person())
    if as_json:
        typer.echo(json.dumps(asdict(report) | {"folder": str(report.folder)}, indent=2))
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{folder}: as it was at {report.created}; {report.columns_discarded} sets of columns"
        f" discarded, {report.days} days to be taken in anew"
    )
    for note in report.notes:
        console.print(f"  {note}", markup=False)


def _person() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
