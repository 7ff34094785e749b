"""Pages: search the audit log, verify it, and take it out for an auditor's own check."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from bank_node.consortium.canonical import moment_us
from bank_node.desk import LONGEST_ACCOUNT, AuditFilter, Office, Right
from bank_node.ingest import canonical_account
from bank_node.web.frame import office_of, page, posted, shown, who

__all__ = ["routes"]

_DAY = 86_400_000_000
_PER_PAGE = 100
_NAMES = ("actor", "action", "run_id", "account", "since", "until")


def _search(request: Request) -> Response:
    return _page(request, None)


def _page(request: Request, verification: object) -> Response:
    person, desk = who(request), office_of(request).desk
    given = {name: request.query_params.get(name, "").strip()[:LONGEST_ACCOUNT] for name in _NAMES}
    before = request.query_params.get("before", "")
    number = int(before) if before.isdecimal() and len(before) < 18 else None
    wanted, problem = _filter(given)
    lines = desk.audit(person, wanted, limit=_PER_PAGE, before=number)
    context = {
        "before": number,
        "following": lines[-1].number if len(lines) == _PER_PAGE else None,
        "given": given,
        "lines": [(line, list(_readable(line.details))) for line in lines],
        "problem": problem,
        "verification": verification,
    }
    return page(request, "audit/search.html", context, status=422 if problem else 200)


def _filter(given: Mapping[str, str]) -> tuple[AuditFilter, str]:
    """Return what is looked for, and whether a day could not be read."""
    try:
        since, last = (moment_us(given[n]) if given[n] else None for n in ("since", "until"))
    except ValueError:
        return AuditFilter(), "need_days"
    wanted = AuditFilter(
        actor=given["actor"] or None,
        action=given["action"] or None,
        run_id=given["run_id"] or None,
        account=canonical_account(given["account"]) or None,
        since=since,
        until=None if last is None else last + _DAY,
    )
    return wanted, ""


def _readable(details: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Give the details of an entry as names and texts."""
    for name, value in details.items():
        if value in ("", [], None):
            continue
        if isinstance(value, str):
            yield name, value
        elif isinstance(value, list) and all(isinstance(v, str | int) for v in value):
            yield name, ", ".join(str(v) for v in value)
        else:
            yield name, json.dumps(value, ensure_ascii=False, sort_keys=True)


def _verify(request: Request) -> Response:
    return _page(request, office_of(request).desk.verify_audit(who(request)))


def _export(request: Request) -> Response:
    lines = office_of(request).desk.export_audit(who(request))
    headers = {"content-disposition": 'attachment; filename="audit.jsonl"'}
    return StreamingResponse(lines, media_type="application/jsonl", headers=headers)


def routes(office: Office) -> list[Route]:
    """Return the routes of these pages."""
    return [
        shown("/audit", _search, needs=Right.AUDIT),
        posted("/audit/verify", _verify, needs=Right.AUDIT),
        shown("/audit/export", _export, needs=Right.AUDIT),
    ]
