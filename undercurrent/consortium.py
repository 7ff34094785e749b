"""The commands ``undercurrent consortium``: the agreement between the members."""

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from bank_node.consortium import Book, SignedAgreement, load_agreement, office, verify_agreement
from bank_node.consortium.canonical import moment_text, moment_us
from bank_node.consortium.errors import AgreementError, VersionError
from bank_node.consortium.request import Entry, JoinRequest, entry_of
from bank_node.consortium.summary import summarise
from bank_node.errors import OutputExistsError, ParameterError
from bank_node.identity import install_certificate
from bank_node.node.config import NodeConfig, default_folder, read_config
from undercurrent.agreement_tables import print_agreement

__all__ = ["app"]

_DAY = 86_400_000_000
_YEAR = 365

app = typer.Typer(
    help="The agreement between the members: make, sign, check and install it.",
    no_args_is_help=True,
)

Node = Annotated[
    Path | None,
    typer.Option("--node", metavar="DIR", help="The node's folder.", show_default="./node"),
]
AuthorityFolder = Annotated[
    Path | None,
    typer.Option(
        "--authority",
        metavar="DIR",
        help="Folder of the certificate authority.",
        show_default="authority in the node's folder",
    ),
]
Days = Annotated[int, typer.Option(min=1, max=3650, help="Days for which certificates hold.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the file that is there.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback()
def _consortium() -> None:
    """The agreement between the members: make, sign, check and install it."""


@app.command("join")
def join(
    out: Annotated[Path, typer.Option(help="File for the request.")],
    node: Node = None,
    bic: Annotated[str | None, typer.Option(help="BIC, if not as in node.toml.")] = None,
    host: Annotated[
        str | None, typer.Option(help="Where the others reach this node, if not as in node.toml.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="First port of its workers, if not as in node.toml.")
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write a request to join: send it to the founder, who adds it to the agreement.

    Tell the founder the first digits of the key by another way, for example by
    telephone.

    Examples:

      undercurrent consortium join --node node --out request-B.toml

      undercurrent consortium join --node node --host b.example --port 9400 --out request-B.toml
    """
    config = _config(node)
    _check_free(out, force)
    request = office.ask_to_join(_entry(config, bic, host, port), config.keys, out)
    _tell_request(request, out, as_json)


@app.command("rotate-key")
def rotate_key(
    out: Annotated[Path, typer.Option(help="File for the request.")],
    node: Node = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Make new keys, and the request that has them replace the old ones.

    The request is signed with both keys. The new ones count from the next
    version of the agreement on; the old ones stay until then.

    Examples:

      undercurrent consortium rotate-key --node node --out rotate-B.toml
    """
    config = _config(node)
    _check_free(out, force)
    request = office.rotate_keys(
        _entry(config, None, None, None), config.keys, Book(config.agreements), out
    )
    _tell_request(request, out, as_json)


@app.command("new")
def new(
    out: Annotated[Path, typer.Option(help="File for the draft.")],
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Name of the new consortium.")
    ] = None,
    before: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Make the version after this one instead."),
    ] = None,
    node: Node = None,
    authority: AuthorityFolder = None,
    effective: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="In effect from (UTC).", show_default="today 00:00"),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="In effect until.", show_default="a year later"),
    ] = None,
    days: Days = 800,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write the draft of an agreement, or of the next version of one.

    A new consortium gets a certificate authority, kept in the founder's node,
    and the founder as its first member. Edit the draft, add the members'
    requests, then let all sign it.

    Examples:

      undercurrent consortium new nordic --node node --out consortium.toml

      undercurrent consortium new --from consortium.toml --effective 2027-01-01
      --out consortium-2.toml
    """
    _check_free(out, force)
    if before is not None:
        if name is not None or effective is None:
            raise ParameterError(
                "the next version keeps its name and needs a date", "Give --from and --effective"
            )
        begin, end = _term(effective, expires)
        signed = office.succeed(before, begin, end, out)
    else:
        if name is None:
            raise ParameterError("a new consortium needs a name", "Give NAME, or --from FILE")
        begin, end = _term(effective, expires)
        signed = _found(name, _config(node), authority, (begin, end), days, out)
    agreement = signed.agreement
    _tell(
        {"file": str(out), "consortium": agreement.consortium, "version": agreement.version},
        f"draft of {agreement.consortium} version {agreement.version}: {out}\n"
        "Next: edit it, undercurrent consortium add, then sign",
        as_json,
    )


@app.command("add")
def add(
    request: Annotated[Path, typer.Argument(metavar="REQUEST", help="The member's request.")],
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="The draft.")],
    node: Node = None,
    authority: AuthorityFolder = None,
    days: Days = 800,
    as_json: Json = False,
) -> None:
    """Add the member of a request to a draft, with a certificate; for the founder.

    Compare the first digits of the key with the member first. A request of
    rotate-key replaces the member's entry. Signatures that the draft has are
    dropped.

    Examples:

      undercurrent consortium add request-B.toml --to consortium.toml --node node
    """
    folder = _authority_folder(node, authority)
    added = office.add(request, to, office.open_authority(folder), days)
    member = added.member
    how = "its entry was replaced" if added.replaced is not None else "added"
    _tell(
        {"member": member.id, "key": member.key, "replaced": added.replaced is not None},
        f"{member.id} ({member.role}): {how}; key {member.key[:16]}...",
        as_json,
    )


@app.command("remove")
def remove(
    member: Annotated[str, typer.Argument(metavar="MEMBER", help="Id of the member.")],
    draft: Annotated[Path, typer.Option("--from", metavar="FILE", help="The draft.")],
    as_json: Json = False,
) -> None:
    """Remove a member from the draft of the next version.

    It does not have to sign. Prepared columns are discarded when the version
    comes into effect, because they are bound to all members.

    Examples:

      undercurrent consortium new --from consortium.toml --effective 2027-01-01
      --out consortium-2.toml

      undercurrent consortium remove C --from consortium-2.toml
    """
    agreement = office.remove(member, draft)
    left = [m.id for m in agreement.members]
    _tell(
        {"removed": member, "members": left}, f"{member} removed; {', '.join(left)} stay", as_json
    )


@app.command("sign")
def sign(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The agreement.")],
    node: Node = None,
    out: Annotated[
        Path | None, typer.Option(help="File for the signed copy.", show_default="FILE itself")
    ] = None,
    previous: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The version before.", show_default="as installed in the node"
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Sign an agreement with this node's key, after showing it and checking all of it.

    Puts the node's certificate and the consortium's authority into its keys.

    Examples:

      undercurrent consortium sign consortium.toml --node node

      undercurrent consortium sign consortium.toml --node node --yes --out signed-B.toml
    """
    config = _config(node)
    signed = load_agreement(file)
    before = _previous(signed, previous, config)
    key = office.check_before_signing(signed, config.node.id, config.keys, before)
    if not yes:
        _ask(signed, before, config)
    office.sign(file, signed, config.node.id, key, config.keys, out or file)
    _tell(
        {"file": str(out or file), "member": config.node.id, "hash": signed.hash},
        f"signed by {config.node.id}: {out or file}\nNext: undercurrent consortium merge",
        as_json,
    )


@app.command("merge")
def merge(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A signed copy.")],
    others: Annotated[list[Path], typer.Argument(metavar="OTHER...", help="The other copies.")],
    out: Annotated[
        Path | None, typer.Option(help="File for the result.", show_default="FILE itself")
    ] = None,
    as_json: Json = False,
) -> None:
    """Put the signatures of several copies of one agreement together.

    Examples:

      undercurrent consortium merge consortium.toml signed-B.toml signed-C.toml
    """
    signed = office.merge(file, others, out or file)
    have = [signature.member for signature in signed.signatures]
    missing = [m.id for m in signed.agreement.members if m.id not in have]
    rest = f"; missing: {', '.join(missing)}" if missing else "; complete"
    _tell(
        {"file": str(out or file), "signed": have, "missing": missing},
        f"signed by {', '.join(have) or 'nobody'}{rest}",
        as_json,
    )


@app.command("show")
def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The agreement.")],
    previous: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The version before: say what changes.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what an agreement says and who has signed it.

    Examples:

      undercurrent consortium show consortium.toml

      undercurrent consortium show consortium-2.toml --previous consortium.toml
    """
    before = None if previous is None else load_agreement(previous)
    told = summarise(load_agreement(file), _now(), before)
    if as_json:
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        print_agreement(told, Console())


@app.command("verify")
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The agreement.")],
    previous: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The version before.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check an agreement: members, certificates, terms and all signatures.

    Ends with exit code 0, or with 3 and the first fault.

    Examples:

      undercurrent consortium verify consortium.toml

      undercurrent consortium verify consortium-2.toml --previous consortium.toml
    """
    signed = load_agreement(file)
    before = None if previous is None else load_agreement(previous)
    try:
        verify_agreement(signed, previous=before)
    except AgreementError as error:
        if not as_json:
            raise
        fault = {"code": error.code, "message": error.message, "remedy": error.remedy}
        typer.echo(json.dumps({"valid": False, "hash": signed.hash} | fault, indent=2))
        raise typer.Exit(error.exit_code) from None
    agreement = signed.agreement
    is_alone = agreement.version > 1 and before is None
    note = "\nThe step from the version before was not checked: give --previous" if is_alone else ""
    _tell(
        {"valid": True, "hash": signed.hash, "step_checked": not is_alone},
        f"valid: {agreement.consortium} version {agreement.version}, signed by all"
        f" {len(agreement.members)} members, from {agreement.effective} until"
        f" {agreement.expires}{note}",
        as_json,
    )


@app.command("install")
def install(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The agreement, signed by all.")],
    node: Node = None,
    as_json: Json = False,
) -> None:
    """Give an agreement to the node, which follows it from its date of effect on.

    Examples:

      undercurrent consortium install consortium.toml --node node
    """
    config = _config(node)
    if load_agreement(file).agreement.consortium != config.node.consortium:
        raise ParameterError(
            f"{file} is an agreement of another consortium than {config.node.consortium}",
            "Check consortium in node.toml",
        )
    signed = Book(config.agreements).install(file)
    agreement = signed.agreement
    own = agreement.member(config.node.id)
    if own is not None:
        install_certificate(config.keys, own.certificate_pem, agreement.authority)
    gone = "" if own is not None else f"\n{config.node.id} is no member of it any more"
    _tell(
        {"version": agreement.version, "hash": signed.hash, "member": own is not None},
        f"installed: {agreement.consortium} version {agreement.version}, in effect from"
        f" {agreement.effective}{gone}",
        as_json,
    )


@app.command("broker-certificate")
def broker_certificate(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="Host names or addresses of the broker.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for key and certificate.")],
    node: Node = None,
    authority: AuthorityFolder = None,
    as_json: Json = False,
) -> None:
    """Issue a certificate for the consortium's MQTT broker; for the founder.

    Examples:

      undercurrent consortium broker-certificate broker.example 192.0.2.7 --node node --out broker
    """
    folder = _authority_folder(node, authority)
    paths = office.open_authority(folder).issue_server(names, out)
    told = {name: str(path) for name, path in paths.model_dump().items()}
    _tell(told, "\n".join(f"{name}: {path}" for name, path in told.items()), as_json)


def _now() -> int:
    return time.time_ns() // 1000


def _config(node: Path | None) -> NodeConfig:
    return read_config(default_folder() if node is None else node)


def _authority_folder(node: Path | None, authority: Path | None) -> Path:
    return authority or (default_folder() if node is None else node) / "authority"


def _entry(config: NodeConfig, bic: str | None, host: str | None, port: int | None) -> Entry:
    own = config.node
    return entry_of(
        own.consortium,
        own.id,
        own.role,
        own.bic if bic is None else bic,
        own.host if host is None else host,
        (own.port if port is None else port, own.port_count),
    )


def _found(
    name: str,
    config: NodeConfig,
    authority: Path | None,
    term: tuple[str, str],
    days: int,
    out: Path,
) -> SignedAgreement:
    """Write the first draft; the founder's own request is made and granted at once."""
    if config.node.consortium != name:
        raise ParameterError(
            f"node.toml of {config.node.id} names consortium {config.node.consortium}",
            "Give that name, or correct node.toml",
        )
    folder = config.folder / "authority" if authority is None else authority
    own = office.own_request(_entry(config, None, None, None), config.keys)
    office.begin(office.open_authority(folder, name), own, *term, days, out)
    return load_agreement(out)


def _term(effective: str | None, expires: str | None) -> tuple[str, str]:
    """Return when an agreement begins and ends; for a year from today unless told otherwise."""
    now = _now()
    begin = now - now % _DAY if effective is None else _time("--effective", effective)
    end = begin + _YEAR * _DAY if expires is None else _time("--expires", expires)
    if end <= begin:
        raise ParameterError("the agreement would end before it begins", "Give a later --expires")
    return moment_text(begin), moment_text(end)


def _time(option: str, text: str) -> int:
    try:
        return moment_us(text)
    except ValueError:
        raise ParameterError(
            f"{option} {text} is no time", "Write it as 2027-01-01 or 2027-01-01T12:00:00Z"
        ) from None


def _previous(
    signed: SignedAgreement, previous: Path | None, config: NodeConfig
) -> SignedAgreement | None:
    if previous is not None:
        return load_agreement(previous)
    book, number = Book(config.agreements), signed.agreement.version - 1
    before = book.version(number)
    if before is None and number > 0 and book.versions():
        raise VersionError(
            f"version {number} is not installed here, so the step from it cannot be checked",
            "Install it first, or name it: --previous FILE",
        )
    return before


def _ask(signed: SignedAgreement, before: SignedAgreement | None, config: NodeConfig) -> None:
    """Show what is signed, and ask; without a terminal nobody could answer."""
    console = Console(stderr=True)
    print_agreement(summarise(signed, _now(), before), console)
    own = signed.agreement.member(config.node.id)
    if own is not None and (own.host, own.ports[0]) != (config.node.host, config.node.port):
        console.print(
            f"[bold]Note[/]: the agreement has this node's workers at {own.host} {own.ports[0]},"
            f" node.toml at {config.node.host} {config.node.port}"
        )
    if not sys.stdin.isatty():
        raise ParameterError("there is no terminal to ask at", "Give --yes to sign")
    typer.confirm(f"Sign this as {config.node.id}?", abort=True, err=True)


def _check_free(out: Path, force: bool) -> None:
    if out.exists() and not force:
        raise OutputExistsError(f"{out} is there already", "Name another file, or give --force")


def _tell_request(request: JoinRequest, out: Path, as_json: bool) -> None:
    _tell(
        {"file": str(out), "member": request.id, "key": request.key},
        f"request of {request.id}: {out}; key {request.key[:16]}...\n"
        "Next: send it to the founder (undercurrent consortium add), and tell these digits apart"
        " from it",
        as_json,
    )


def _tell(value: dict[str, Any], text: str, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(value, indent=2))
    else:
        Console(soft_wrap=True, highlight=False).print(text, markup=False)
