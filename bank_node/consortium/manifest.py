"""The manifest of a joint run: all that is public about it, the same bytes at every node.

The manifest of a scheduled run follows from agreement, schedule and slot alone, so every node
makes it by itself and nobody has to propose it; id and nonce are hashes of these three.  What a
member proposes gets both at random.  Either way a node signs only what it has checked
(``bank_node.consortium.judging``), and a run begins when all members have signed the same bytes.
"""

import secrets
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bank_node.consortium.agreement import SCHEDULE, Schedule, SignedAgreement, window_us
from bank_node.consortium.canonical import (
    MANIFEST,
    canonical_json,
    duration_us,
    moment_text,
    moment_us,
    sha256,
)
from bank_node.consortium.errors import AnalysisNotAllowed, MalformedManifest, NotTheSchedule
from bank_node.consortium.fields import NAME, ParameterName
from bank_node.consortium.timetable import is_slot, slot_text
from bank_node.identity import SigningKey, verify

__all__ = [
    "RunManifest",
    "RunMember",
    "is_scheduled_id",
    "parse_manifest",
    "proposed_manifest",
    "scheduled_manifest",
    "sign_manifest",
    "verify_manifest_signature",
]

_DAY = 86_400_000_000
_MOST_BYTES = 16 * 1024
_SLOT = "slot-"
_MOST_TIME = 1 << 60
_PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
# The number of an attempt is added to it where a session needs a name of at most 64.
_RUN_ID = r"^[A-Za-z0-9](?:[A-Za-z0-9._-]{14,54}[A-Za-z0-9])$"
_OPTIONAL_RUN_ID = rf"^$|{_RUN_ID}"

Value = Annotated[str, Field(max_length=2000, pattern=_PRINTABLE)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class RunMember(_Form):
    """A member of the run."""

    id: str = Field(pattern=NAME)
    role: Literal["bank", "compute"]


class RunManifest(_Form):
    """What all members of a run sign.

    Attributes:
        format: of the manifest.
        run_id: unique, and safe as a name in a session.
        consortium: its name.
        agreement: hash of the agreement in effect.
        analysis, version, parameters, policy: what is computed; public parameters only.
        members: all, in the agreement's order.
        prepare_runs: for how many later runs columns are prepared instead of a result; 0: none.
        columns: id of the run that prepared the columns which this one uses; or empty.
        rehearsal: whether it runs on data that every node makes up.
        proposer: id of the member that proposes it, or "schedule".
        schedule, slot: of a scheduled run; else empty.
        nonce: 32 hex digits.
        created, expires: microseconds; it may begin until it expires.
    """

    format: Literal[1] = 1
    run_id: str = Field(pattern=_RUN_ID)
    consortium: str = Field(pattern=NAME)
    agreement: str = Field(pattern=r"^[0-9a-f]{64}$")
    analysis: str = Field(pattern=NAME)
    version: str = Field(min_length=1, max_length=20, pattern=_PRINTABLE)
    parameters: dict[ParameterName, Value] = Field(max_length=64)
    policy: str = Field(max_length=400, pattern=_PRINTABLE)
    members: Annotated[tuple[RunMember, ...], Field(max_length=64, strict=False)]
    prepare_runs: int = Field(0, ge=0, le=10_000)
    columns: str = Field("", pattern=_OPTIONAL_RUN_ID)
    rehearsal: bool = False
    proposer: str = Field(pattern=NAME)
    schedule: str = Field("", pattern=rf"^$|{NAME}")
    slot: str = Field("", max_length=40, pattern=_PRINTABLE)
    nonce: str = Field(pattern=r"^[0-9a-f]{32}$")
    created: int = Field(ge=0, le=_MOST_TIME)
    expires: int = Field(ge=0, le=_MOST_TIME)

    def canonical(self) -> bytes:
        """Return the bytes that are hashed and, behind a line that names their kind, signed."""
        return self._canonical

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical form, in hex."""
        return sha256(self._canonical)

    @cached_property
    def _canonical(self) -> bytes:
        return canonical_json(self.model_dump(mode="json"))


def parse_manifest(data: bytes | str) -> RunManifest:
    """Return the manifest of what a peer sent, or refuse it without repeating any of it."""
    if len(data.encode() if isinstance(data, str) else data) > _MOST_BYTES:
        raise MalformedManifest("the manifest is too large", "The proposer has to correct it")
    try:
        return RunManifest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = str(first["loc"][0]) if first["loc"] else ""
        # What stands in the manifest is not repeated, and a name that it makes up least of all.
        field = where if where in RunManifest.model_fields else "the whole"
        raise MalformedManifest(
            f"{field} of the manifest is not of the right form", "The proposer has to correct it"
        ) from None


def scheduled_manifest(signed: SignedAgreement, schedule_name: str, slot: str) -> RunManifest:
    """Return the manifest of a schedule's slot: the same bytes at every node.

    Raises:
        NotTheSchedule: there is no such schedule, or it has no such slot while the agreement is in
            effect.
    """
    agreement = signed.agreement
    schedule = agreement.schedule(schedule_name)
    rule = None if schedule is None else agreement.analysis(schedule.analysis)
    if schedule is None or rule is None:
        raise NotTheSchedule("the agreement has no such schedule", _SCHEDULE_REMEDY)
    try:
        at, text = moment_us(slot), slot_text(slot)
    except ValueError:
        raise NotTheSchedule(f"a slot of {schedule_name} is no time", _SCHEDULE_REMEDY) from None
    if not is_slot(schedule, agreement, at):
        raise NotTheSchedule(f"schedule {schedule_name} has no run at {text}", _SCHEDULE_REMEDY)
    return RunManifest(
        run_id=_SLOT + _hash_of(signed, "run", schedule_name, text),
        consortium=agreement.consortium,
        agreement=signed.hash,
        analysis=rule.name,
        version=rule.version,
        parameters=dict(schedule.parameters) | _window(schedule, at),
        policy=schedule.policy,
        members=_members(signed),
        prepare_runs=schedule.prepare,
        proposer=SCHEDULE,
        schedule=schedule.name,
        slot=text,
        nonce=_hash_of(signed, "nonce", schedule_name, text),
        created=at,
        expires=at + duration_us(schedule.valid),
    )


_SCHEDULE_REMEDY = "See undercurrent consortium show for the schedules"


def is_scheduled_id(run_id: str) -> bool:
    """Return whether an id is one that only a scheduled run can have."""
    return run_id.startswith(_SLOT)


def proposed_manifest(
    signed: SignedAgreement,
    proposer: str,
    analysis: str,
    parameters: Mapping[str, str],
    policy: str,
    now: int,
    *,
    rehearsal: bool = False,
    prepare_runs: int = 0,
    columns: str = "",
    valid: int = 3_600_000_000,
) -> RunManifest:
    """Return the manifest of a run that a member proposes; not checked against the agreement.

    Args:
        signed: the agreement in effect.
        proposer: id of the member.
        analysis: name of an analysis of the agreement.
        parameters: public ones, as text.
        policy: output policy.
        now: microseconds.
        rehearsal: run on data that every node makes up.
        prepare_runs: for how many later runs columns are prepared; 0: compute a result.
        columns: id of the run that prepared the columns to use; empty: none.
        valid: microseconds in which the run may begin.
    """
    rule = signed.agreement.analysis(analysis)
    if rule is None:
        raise AnalysisNotAllowed(
            "the agreement does not allow this analysis",
            f"It allows {', '.join(r.name for r in signed.agreement.analyses)}",
        )
    try:
        return RunManifest(
            run_id=secrets.token_hex(16),
            consortium=signed.agreement.consortium,
            agreement=signed.hash,
            analysis=rule.name,
            version=rule.version,
            parameters=dict(parameters),
            policy=policy,
            members=_members(signed),
            prepare_runs=prepare_runs,
            columns=columns,
            rehearsal=rehearsal,
            proposer=proposer,
            nonce=secrets.token_hex(16),
            created=now,
            expires=now + valid,
        )
    except ValidationError as error:
        where = error.errors(include_input=False, include_url=False)[0]["loc"][0]
        raise MalformedManifest(
            f"{where} of the proposed run is not of the right form", "Correct it"
        ) from None


def sign_manifest(key: SigningKey, manifest: RunManifest) -> str:
    """Return a member's signature of a manifest, in hex."""
    return key.sign(MANIFEST + manifest.canonical()).hex()


def verify_manifest_signature(member_key: str, manifest: RunManifest, signature: str) -> bool:
    """Return whether a signature (hex) of a manifest is that key's."""
    try:
        raw = bytes.fromhex(signature)
    except ValueError:
        return False
    return verify(member_key, MANIFEST + manifest.canonical(), raw)


def _members(signed: SignedAgreement) -> tuple[RunMember, ...]:
    return tuple(RunMember(id=m.id, role=m.role) for m in signed.agreement.members)


def _window(schedule: Schedule, slot: int) -> dict[str, str]:
    """Return the window that ends at the midnight before the slot."""
    length = window_us(schedule.window)
    if length is None:
        return {}
    until = slot - slot % _DAY
    return {"since": moment_text(until - length), "until": moment_text(until)}


def _hash_of(signed: SignedAgreement, what: str, schedule: str, slot: str) -> str:
    parts = {"agreement": signed.hash, "schedule": schedule, "slot": slot, "what": what}
    return sha256(b"undercurrent/v1/scheduled\n" + canonical_json(parts))[:32]
