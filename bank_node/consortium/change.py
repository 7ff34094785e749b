"""What a new version of the agreement brings about on the date of its effect.

- **Schedules**: ``continue``: a schedule of the same name with the same terms goes on, its slots
  that have run stay run; the others of the old version are dropped, with their runs that have not
  begun.  ``restart``: all old ones are dropped and all new ones begin anew.  Either way a slot
  belongs to the version in effect at its time.
- **Prepared columns** are bound to the members, their roles and their order, and to the engine; if
  any of these changes they are discarded whatever the transition says.
- **Budgets**: ``carry``: what was spent in the running period stays spent, against the new bound;
  ``reset``: the period begins anew.
"""

from dataclasses import dataclass
from typing import Literal

from bank_node.consortium.agreement import Agreement, SignedAgreement

__all__ = ["Change", "change"]


@dataclass(frozen=True)
class Change:
    """The step from one version to the next; names are in the order of their agreement.

    Attributes:
        removed, added: members. keys_changed: members with another key or certificate.
        schedules_kept, schedules_dropped, schedules_new: names of schedules; one whose terms
            changed is dropped and new.
        columns: discard or keep.
        budgets: carry or reset.
    """

    removed: tuple[str, ...]
    added: tuple[str, ...]
    keys_changed: tuple[str, ...]
    schedules_kept: tuple[str, ...]
    schedules_dropped: tuple[str, ...]
    schedules_new: tuple[str, ...]
    columns: Literal["discard", "keep"]
    budgets: Literal["carry", "reset"]


def change(old: SignedAgreement, new: SignedAgreement) -> Change:
    """Return what the step from the old version to the new one brings about."""
    before, after = old.agreement, new.agreement
    kept = _kept(before, after)
    return Change(
        removed=tuple(m.id for m in before.members if after.member(m.id) is None),
        added=tuple(m.id for m in after.members if before.member(m.id) is None),
        keys_changed=_keys_changed(before, after),
        schedules_kept=kept,
        schedules_dropped=tuple(s.name for s in before.schedules if s.name not in kept),
        schedules_new=tuple(s.name for s in after.schedules if s.name not in kept),
        columns=_columns(before, after),
        budgets=after.transition.budgets,
    )


def _kept(before: Agreement, after: Agreement) -> tuple[str, ...]:
    if after.transition.schedules == "restart":
        return ()
    return tuple(s.name for s in after.schedules if s == before.schedule(s.name))


def _keys_changed(before: Agreement, after: Agreement) -> tuple[str, ...]:
    changed = []
    for member in after.members:
        old = before.member(member.id)
        if old is not None and (old.key, old.certificate) != (member.key, member.certificate):
            changed.append(member.id)
    return tuple(changed)


def _columns(before: Agreement, after: Agreement) -> Literal["discard", "keep"]:
    old, new = ([(m.id, m.role) for m in a.members] for a in (before, after))
    is_bound = old == new and before.engine == after.engine
    return after.transition.columns if is_bound else "discard"
