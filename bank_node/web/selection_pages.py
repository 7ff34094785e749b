"""The alerts that were selected in the list: open cases from them, or assign the cases they are in.

The list knows alerts, and only what was looked at can be changed.  So this page shows first what
the selection comes to, case by case with the version seen, and then does it.
"""

from dataclasses import dataclass
from itertools import groupby

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import bank_node.web.forms as forms
from alerts import PERMISSIONS, Action
from alerts.states import STEPS
from bank_node.desk import Office
from bank_node.web.frame import field, form, office_of, page, posted, redirect, who

__all__ = ["Selected", "routes"]

_MOST = 200
_LONGEST = 500


@dataclass(frozen=True)
class Selected:
    """An alert as its line in the list was: id, version, case (0: none), whom it is about."""

    id: int
    version: int
    case: int
    subject: str

    @property
    def value(self) -> str:
        """The value of its box in the list."""
        return f"{self.id}:{self.version}:{self.case}:{self.subject}"

    @classmethod
    def of(cls, value: object) -> "Selected":
        """Read a box of the list."""
        parts = value.split(":", 3) if isinstance(value, str) and len(value) <= _LONGEST else []
        if len(parts) != 4:
            raise HTTPException(400)
        number, version, case = (forms.whole(part) for part in parts[:3])
        return cls(number, version, case, parts[3])


def _chosen(request: Request) -> list[Selected]:
    values = form(request).getlist("alert")
    if len(values) > _MOST:
        raise HTTPException(400)
    return sorted((Selected.of(value) for value in values), key=lambda s: (s.subject, s.id))


def _look(request: Request) -> Response:
    person, desk, chosen = who(request), office_of(request).desk, _chosen(request)
    cases = [desk.case_head(person, number) for number in sorted({s.case for s in chosen} - {0})]
    may_assign = person.role in PERMISSIONS[Action.ASSIGN]
    fit = [c for c in cases if may_assign and c.state in STEPS[Action.ASSIGN].sources]
    context = {
        "assign": fit,
        "free": [s for s in chosen if s.case == 0],
        "rest": [c for c in cases if c not in fit],
        "workers": desk.workers(person) if fit else [],
    }
    return page(request, "alerts/selected.html", context)


def _open(request: Request) -> Response:
    """Open one case for each customer or account among the alerts, all or none."""
    chosen = _chosen(request)
    if not chosen:
        raise forms.nothing_selected()
    by_subject = groupby(chosen, key=lambda s: s.subject)
    groups = [{s.id: s.version for s in group} for _subject, group in by_subject]
    changes = office_of(request).desk.open_several(who(request), groups, field(request, "note"))
    return redirect(request, "/cases?scope=unassigned", "open", len(changes))


def _assign(request: Request) -> Response:
    cases = forms.pairs(request, "case")
    assignee, note = field(request, "assignee"), field(request, "note")
    changes = office_of(request).desk.assign_many(who(request), cases, assignee, note)
    return redirect(request, "/cases", "assign", len(changes))


def routes(office: Office) -> list[Route]:
    """Return the routes of these pages."""
    return [
        posted("/alerts/selected", _look, needs=Action.OPEN),
        posted("/alerts/selected/open", _open, needs=Action.OPEN),
        posted("/alerts/selected/assign", _assign, needs=Action.ASSIGN),
    ]
