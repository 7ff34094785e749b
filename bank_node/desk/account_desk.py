"""An own account at the desk, and what leaves the node about a case."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from alerts import Action, Person
from alerts.errors import EntryError, NotFound
from alerts.export import (
    alerts_csv,
    case_json,
    case_page,
    export_name,
    follow_the_money,
    gather_case,
    goaml_report,
    load_profile,
    transactions_csv,
)
from alerts.export.case_file import CaseFile, Kind
from alerts.export.profile import CountryProfile
from alerts.people import check_permission
from alerts.queries import AlertFilter, CaseFilter, accounts_of, list_alerts, list_cases
from bank_node.desk.alert_desk import StoredHistory
from bank_node.desk.ground import LONGEST_ACCOUNT, Ground, named, with_traced
from bank_node.desk.pages import AccountPage, Exported
from bank_node.ingest import canonical_account

__all__ = ["KINDS", "AccountDesk"]

_DAY = 86_400_000_000
_MOST = 200
KINDS: tuple[Kind, ...] = (
    "html",
    "json",
    "ftm.json",
    "goaml.xml",
    "transactions.csv",
    "alerts.csv",
)
"""What a case can be exported as."""
_MEDIA: dict[str, str] = {
    "html": "text/html",
    "json": "application/json",
    "ftm.json": "application/x-ndjson",
    "goaml.xml": "application/xml",
}


class AccountDesk(Ground):
    """What people see of an account, and export of a case."""

    def account(self, who: Person, account: str) -> AccountPage:
        """Return what the bank knows of an own account.

        Raises:
            NotFound: it is none of the bank's own; that somebody asked is on record all the same.
        """
        check_permission(who, Action.VIEW)
        name = canonical_account(account)
        one = pa.array([name], pa.string())
        told = [name[:LONGEST_ACCOUNT]]
        with self._reading() as session, self._payments.view() as view:
            page = None
            if view.known(one)[0]:
                customer = view.customers(one)[0].as_py()
                subject = f"account:{name}" if customer is None else f"customer:{customer}"
                page = AccountPage(
                    account=name,
                    customer=customer,
                    in_scope=True,
                    metrics=view.metrics(one, None, None),
                    transactions=view.transactions(one, None, None, _MOST),
                    counterparties=view.counterparties(one, None, None, _MOST),
                    slices=view.slices(one, None, None, _DAY),
                    history=StoredHistory(session).history(one),
                    alerts=tuple(list_alerts(session, who, AlertFilter(account=name))),
                    cases=tuple(list_cases(session, who, CaseFilter(subject=subject))),
                )
                behind = accounts_of(session, who, [alert.id for alert in page.alerts])
                told = list(dict.fromkeys([*told, *behind]))
        self._on_record(who, "account.read", named(told) | {"own": page is not None})
        if page is None:
            raise NotFound("this is no account of this bank", "check its spelling")
        return replace(page, in_scope=self._payments.in_scope([name])[0])

    def export(self, who: Person, case_id: int, kind: str, country: str | None = None) -> Exported:
        """Return a case as a file.

        Args:
            who: the person. case_id: the case.
            kind: one of :data:`KINDS`.
            country: whose goAML profile is used; None: the configured one.
        """
        if kind not in KINDS:
            raise EntryError("there is no such export", f"use one of {', '.join(KINDS)}")
        action = Action.DRAFT_REPORT if kind == "goaml.xml" else Action.EXPORT
        check_permission(who, action)
        profile = self._profile(country) if kind == "goaml.xml" else None
        with self._reading() as session, self._payments.view() as view:
            case = gather_case(session, who, case_id, view, now=self._clock())
        content = _written(who, case, kind, profile)
        details = {"case": case_id, "kind": kind, "bytes": len(content)}
        accounts = with_traced(case.accounts, [trace.rows for trace in case.traces])
        self._on_record(who, "case.exported", details | named(accounts))
        media = _MEDIA.get(kind, "text/csv")
        return Exported(export_name(case_id, kind), f"{media}; charset=utf-8", content)

    def countries(self) -> list[str]:
        """Return the countries that there is a goAML profile for."""
        folder = self._config.beside(self._config.alerts.profiles)
        return sorted(p.stem for p in folder.glob("[A-Z][A-Z].toml")) if folder.is_dir() else []

    def _profile(self, country: str | None) -> CountryProfile:
        chosen = country or self._config.alerts.country
        folder: Path = self._config.beside(self._config.alerts.profiles)
        known = self.countries()
        if chosen not in known:  # also what would lead out of the folder
            raise EntryError(
                f"there is no goAML profile for the country {chosen[:8]!r}",
                f"there are {', '.join(known) or 'none'}; put <COUNTRY>.toml into the folder that"
                " profiles under [alerts] in node.toml names",
            )
        return load_profile(folder / f"{chosen}.toml")


def _written(who: Person, case: CaseFile, kind: Kind, profile: CountryProfile | None) -> bytes:
    if profile is not None:
        return goaml_report(who, case, profile)
    if kind == "alerts.csv":
        return alerts_csv(case.alerts).encode()
    writers: dict[str, Callable[[CaseFile], str]] = {
        "html": case_page,
        "json": case_json,
        "ftm.json": follow_the_money,
        "transactions.csv": transactions_csv,
    }
    return writers[kind](case).encode()
