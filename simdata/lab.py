"""The lab: a joint run of all banks of a data set on one machine.

Nothing is pretended.  Each bank and each compute party is a process of its own, the very worker
that a bank's node starts; they talk over mutual TLS on loopback with certificates of an authority
made for this run; each is given its own bank's folder and no other.  Only the bench around them,
here, sees all parties: it starts them and puts their reports together.
"""

import json
import secrets
import shutil
import socket
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bank_node.analyses import find_analysis
from bank_node.errors import ParameterError, PreparedColumnsError
from bank_node.ingest import canonical_bank
from bank_node.job import CredentialPaths, DataSource, Deadlines, Job, Manifest, MemberEntry
from bank_node.launcher import OnEvent, OnStart, WorkerExit, Wrap, run_workers
from graph_mpc.errors import TooFewParties
from graph_mpc.policy import parse_policy
from graph_mpc.program import Analysis, PreparableAnalysis
from graph_mpc.session import ThrowawayAuthority
from simdata.dataset import Dataset, bank_folder, describe_time, fresh_folder, read_dataset

__all__ = ["LabRequest", "Route", "run_lab"]

Route = Callable[[int], int]
"""From the port on which a worker listens to the port at which the others reach it."""

_CONSORTIUM = "lab"
_HOST = "127.0.0.1"
_MOST_PARTIES = 64
_DAY = 86_400_000_000


@dataclass(frozen=True)
class LabRequest:
    """One secure replay.

    Attributes:
        data: the data set's folder.
        analysis: name of the analysis.
        out: folder for the results; must not hold anything yet, unless ``force``.
        parameters: public parameters and private inputs, as a user writes them.
        policy: output policy.
        compute: number of compute parties without data.
        deadlines: when workers give each other up.
        force: whether to replace results that are there.
        prepare_runs: prepare columns for so many later runs instead of computing a result.
        prepared: folder of columns that were prepared earlier, to be used; None: prepare afresh.
    """

    data: Path
    analysis: str
    out: Path
    parameters: Mapping[str, Any] = field(default_factory=dict)
    policy: str = "exact"
    compute: int = 0
    deadlines: Deadlines = field(default_factory=Deadlines)
    force: bool = False
    prepare_runs: int = 0
    prepared: Path | None = None


@dataclass(frozen=True)
class _Party:
    """A party of the lab: its id, the name of its folder (banks), and its socket."""

    id: str
    folder: str | None
    listener: socket.socket


def _ignore_event(_party: str, _event: dict[str, Any]) -> None:
    """Listen to nothing."""


def _ignore_start(_pids: dict[str, int]) -> None:
    """Take no note of the processes."""


def _direct(port: int) -> int:
    """Let the workers reach each other without a detour."""
    return port


def _no_wrap(_job: Job) -> Sequence[str]:
    """Start the workers as they are."""
    return ()


async def run_lab(
    request: LabRequest,
    on_event: OnEvent = _ignore_event,
    on_start: OnStart = _ignore_start,
    wrap: Wrap = _no_wrap,
    route: Route = _direct,
) -> dict[str, Any]:
    """Run all parties, write their results and ``run.json``, and return what stands in it.

    Args:
        request: what to run.
        on_event: called with (party, event) for each line of a worker.
        on_start: called once with the process id of each party's worker.
        wrap: command to put in front of a worker's own, for example a sandbox.
        route: a detour between the workers, for example a proxy that delays and limits.

    Raises:
        UndercurrentError: wrong input, or a failed run; then nothing is written.
    """
    dataset = read_dataset(request.data)
    analysis = find_analysis(request.analysis)
    _check_preparable(request, analysis)
    public, private = analysis.private_inputs(_canonical_banks(request.parameters))
    _check_private(dataset, private)
    public = complete_window(analysis, dataset, public)
    analysis.parse(public)
    parse_policy(request.policy)
    _check_parties(dataset, request.compute)
    with ExitStack() as stack:
        # The folder is renamed into place at the end: nobody sees half a result.
        staging = stack.enter_context(
            fresh_folder(request.out, force=request.force, holding=_record_name(request))
        )
        secret = Path(tempfile.mkdtemp(prefix="undercurrent-lab-"))
        stack.callback(shutil.rmtree, secret, ignore_errors=True)
        parties = _parties(dataset, request.compute, stack)
        manifest = _manifest(request, public, parties, analysis.version, route)
        authority = ThrowawayAuthority(_CONSORTIUM)
        jobs = [
            _job(request, dataset, manifest, party, authority, secret, staging, private)
            for party in parties
        ]
        exits = await run_workers(jobs, on_event=on_event, on_start=on_start, wrap=wrap)
        for listener in (party.listener for party in parties):
            listener.close()
        record = _record(manifest, exits)
        (staging / _record_name(request)).write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    return record


def _check_preparable(request: LabRequest, analysis: Analysis) -> None:
    asked = request.prepare_runs or request.prepared is not None
    if asked and not isinstance(analysis, PreparableAnalysis):
        raise ParameterError(
            f"the columns of {analysis.name} cannot be prepared ahead",
            "Run it without; traces can be prepared",
        )


def _canonical_banks(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters with the ids under which the banks know each other."""
    changed = dict(parameters)
    if isinstance(changed.get("bank"), str):
        changed["bank"] = canonical_bank(changed["bank"])
    if isinstance(changed.get("trace"), list):
        changed["trace"] = [
            table | {"bank": canonical_bank(table["bank"])}
            if isinstance(table, dict) and isinstance(table.get("bank"), str)
            else table
            for table in changed["trace"]
        ]
    return changed


def _check_private(dataset: Dataset, private: Mapping[str, Mapping[str, Any]]) -> None:
    known = {canonical_bank(bank) for bank in dataset.banks}
    for bank in private:
        if bank not in known:
            raise ParameterError(
                f"there is no bank {bank} in the data set",
                f"Name one of {', '.join(dataset.banks)}",
            )


def complete_window(
    analysis: Analysis, dataset: Dataset, parameters: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return the parameters with since and until, where slices need them and the data set has them.

    The window then begins at the midnight (UTC) before the first payment and ends with the slice of
    the last one.
    """
    window = analysis.window(analysis.parse(parameters))
    if window.slices is not None or window.slice_us is None:
        return parameters
    if dataset.first is None or dataset.last is None:
        raise ParameterError(
            "the data set does not say when it begins and ends, so slices need a window",
            "Give since and until, for example -p since=2026-01-01 -p until=2026-02-01",
        )
    since = window.since
    if since is None:
        since = dataset.first // _DAY * _DAY
    completed = dict(parameters) | {"since": describe_time(since) or ""}
    if window.until is None:
        slices = (max(dataset.last, since) - since) // window.slice_us + 1
        completed["until"] = describe_time(since + slices * window.slice_us) or ""
    return completed


def _check_parties(dataset: Dataset, compute: int) -> None:
    parties = len(dataset.banks) + compute
    if compute < 0:
        raise ParameterError("--compute is negative", "Give a number of compute parties, 0 or more")
    if parties > _MOST_PARTIES:
        raise ParameterError(
            f"{parties} parties are more than the {_MOST_PARTIES} that are supported",
            "Give a smaller --compute",
        )
    if parties < 3:
        raise TooFewParties(
            f"{len(dataset.banks)} banks and {compute} compute parties are {parties} parties: fewer"
            " than 3 have no honest majority and so no privacy",
            f"add --compute {3 - len(dataset.banks)}",
        )


def _parties(dataset: Dataset, compute: int, stack: ExitStack) -> list[_Party]:
    names: list[tuple[str, str | None]] = [(canonical_bank(b), b) for b in dataset.banks]
    taken = {name for name, _folder in names}
    number = 1
    while len(names) < len(dataset.banks) + compute:
        if f"compute{number}" not in taken:
            names.append((f"compute{number}", None))
        number += 1
    parties = []
    for name, folder in names:
        listener = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        listener.bind((_HOST, 0))
        listener.listen()
        parties.append(_Party(name, folder, listener))
    return parties


def _manifest(
    request: LabRequest,
    public: Mapping[str, Any],
    parties: list[_Party],
    version: str,
    route: Route,
) -> Manifest:
    return Manifest(
        run_id=secrets.token_hex(8),
        consortium=_CONSORTIUM,
        analysis=request.analysis,
        version=version,
        parameters={key: str(value) for key, value in public.items()},
        policy=request.policy,
        prepare_runs=request.prepare_runs,
        use_prepared=request.prepared is not None,
        members=[
            MemberEntry(
                id=party.id,
                role="bank" if party.folder is not None else "compute",
                host=_HOST,
                port=route(party.listener.getsockname()[1]),
            )
            for party in parties
        ],
    )


def _job(
    request: LabRequest,
    dataset: Dataset,
    manifest: Manifest,
    party: _Party,
    authority: ThrowawayAuthority,
    secret: Path,
    staging: Path,
    private: Mapping[str, Mapping[str, Any]],
) -> Job:
    paths = authority.issue(party.id, secret / party.id)
    data = None
    if party.folder is not None:
        data = DataSource(
            folder=bank_folder(request.data, party.folder).resolve(),
            base_currency=dataset.base_currency,
            rates=dict(dataset.rates),
        )
    return Job(
        manifest=manifest,
        party=party.id,
        credentials=CredentialPaths(
            certificate=paths.certificate,
            private_key=paths.private_key,
            authority=paths.authority,
        ),
        listen_fd=party.listener.fileno(),
        deadlines=request.deadlines,
        data=data,
        private=dict(private.get(party.id, {})),
        columns=_columns_folder(request, party, staging),
        out=(staging / (party.folder or party.id)).resolve(),
        lifeline=True,
    )


def _record_name(request: LabRequest) -> str:
    """Return the name of the file that marks a folder as the lab's own."""
    return "prepared.json" if request.prepare_runs else "run.json"


def _columns_folder(request: LabRequest, party: _Party, staging: Path) -> Path | None:
    """Return the folder of a party's prepared columns, if the run fills or uses any."""
    name = party.folder or party.id
    if request.prepare_runs:
        return (staging / name / "columns").resolve()
    if request.prepared is None:
        return None
    folder = request.prepared / name / "columns"
    if not folder.is_dir():
        raise PreparedColumnsError(
            f"{request.prepared}: there are no prepared columns of {name} in it",
            "Give the folder that undercurrent lab prepare wrote for this data set",
        )
    return folder.resolve()


def _record(manifest: Manifest, exits: list[WorkerExit]) -> dict[str, Any]:
    """Put the parties' reports together; times are those of the slowest party."""
    reports = [e.report for e in exits if e.report is not None]
    phases = ("load", "connect", "setup", "prepare", "apply", "reveal", "total")
    first = reports[0]
    by_party: Callable[[str], dict[str, Any]] = lambda key: {  # noqa: E731
        r["party"]: r[key] for r in reports
    }
    return {
        "run_id": manifest.run_id,
        "analysis": manifest.analysis,
        "parameters": first["parameters"],
        "policy": manifest.policy,
        "parties": [
            {"id": m.id, "role": m.role, "accounts": r["accounts"], "edges": r["edges"]}
            for m, r in zip(manifest.members, reports, strict=True)
        ],
        "iterations": first["iterations"],
        "seconds": {p: max(r["seconds"].get(p, 0.0) for r in reports) for p in phases},
        "bytes_sent": by_party("bytes_sent"),
        "messages_sent": by_party("messages_sent"),
        "peak_memory_bytes": by_party("peak_memory_bytes"),
        "padded_sizes": first["padded_sizes"],
        "reconciliation": by_party("reconciliation"),
        "disclosed_bits": by_party("disclosed_bits"),
        "released": by_party("released"),
        "ingest": {r["party"]: r["ingest"] for r in reports if "ingest" in r},
        "accuracy": first["accuracy"],
        "versions": first["versions"],
    }
