"""The navigation: which pages there are for which role."""

from dataclasses import dataclass

from alerts import PERMISSIONS, Action, Role
from bank_node.desk import RIGHTS, Right

__all__ = ["Link", "links_for"]

_LINKS: tuple[tuple[str, str, Action | Right | None], ...] = (
    ("home", "/", None),
    ("alerts", "/alerts", Action.VIEW),
    ("cases", "/cases", Action.VIEW),
    ("account", "/account", Action.VIEW),
    ("trace", "/traces", Right.TRACE_READ),
    ("runs", "/runs", Right.RUNS_VIEW),
    ("rules", "/rules", None),
    ("audit", "/audit", Right.AUDIT),
    ("operation", "/operation", Right.OPERATION),
)


@dataclass(frozen=True)
class Link:
    """An entry; ``name`` is its key under ``nav`` in the catalogue; ``here``: its page is shown."""

    name: str
    path: str
    here: bool


def links_for(role: Role, path: str) -> tuple[Link, ...]:
    """Return the entries for a role, the one marked under which a path lies."""
    return tuple(
        Link(name, start, path == start or (start != "/" and path.startswith(f"{start}/")))
        for name, start, needs in _LINKS
        if needs is None or role in _roles(needs)
    )


def _roles(needs: Action | Right) -> frozenset[Role]:
    return RIGHTS[needs] if isinstance(needs, Right) else PERMISSIONS[needs]
