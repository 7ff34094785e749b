"""What an agreement says and how far it is signed, as plain data for tables and for programs."""

from dataclasses import asdict
from typing import Any

from bank_node.consortium.agreement import Agreement, Member, SignedAgreement
from bank_node.consortium.bounds import allowed_in_words
from bank_node.consortium.canonical import moment_text
from bank_node.consortium.change import change
from bank_node.consortium.timetable import due_after, is_cron
from bank_node.identity import expiry, verify

__all__ = ["summarise"]


def summarise(
    signed: SignedAgreement, now: int, previous: SignedAgreement | None = None
) -> dict[str, Any]:
    """Return what an agreement says.

    Args:
        signed: the agreement, complete or not.
        now: microseconds.
        previous: the version before, to say what changes.
    """
    agreement = signed.agreement
    told: dict[str, Any] = {
        "consortium": agreement.consortium,
        "version": agreement.version,
        "hash": signed.hash,
        "previous": agreement.previous,
        "effective": agreement.effective,
        "expires": agreement.expires,
        "state": _state(agreement, now),
        "engine": agreement.engine,
        "scope": agreement.scope.strip(),
        "members": [_member(member, signed) for member in agreement.members],
        "analyses": [
            {
                "name": rule.name,
                "version": rule.version,
                "policies": list(rule.policies),
                "max_window": rule.max_window,
                "who": rule.who if rule.who == "all" else list(rule.who),
                "prepare": rule.prepare,
                "parameters": {k: allowed_in_words(r) for k, r in rule.parameters.items()},
            }
            for rule in agreement.analyses
        ],
        "budgets": agreement.budgets.model_dump(mode="json"),
        "schedules": _schedules(agreement, now),
        "transition": agreement.transition.model_dump(mode="json"),
    }
    if previous is not None:
        told["change"] = asdict(change(previous, signed))
    return told


def _state(agreement: Agreement, now: int) -> str:
    if now < agreement.effective_us:
        return "coming"
    return "in its term" if now < agreement.expires_us else "ended"


def _member(member: Member, signed: SignedAgreement) -> dict[str, Any]:
    given = [s.signature for s in signed.signatures if s.member == member.id]
    is_valid = any(verify(member.key, signed.signed_bytes, bytes.fromhex(s)) for s in given)
    return {
        "id": member.id,
        "bic": member.bic,
        "role": member.role,
        "host": member.host,
        "ports": list(member.ports),
        "key": member.key,
        "certificate": member.certificate,
        "certificate_expires": moment_text(expiry(member.certificate_pem)),
        "signature": "valid" if is_valid else "invalid" if given else "missing",
    }


def _schedules(agreement: Agreement, now: int) -> list[dict[str, Any]]:
    told = []
    for schedule in agreement.schedules:
        following = due_after(schedule, agreement, now) if is_cron(schedule.cron) else None
        told.append(
            schedule.model_dump(mode="json")
            | {"next": None if following is None else moment_text(following)}
        )
    return told
