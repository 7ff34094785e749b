"""The form that asks for a trace: what the agreement allows, and the question filled in.

What the agreement does not bound keeps its default and is not asked for, since every member would
refuse a manifest that names it.  All bounds are checked here once more, so that a person reads what
is wrong beside the field instead of a refusal of the run.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from bank_node.consortium import ParameterRule, SignedAgreement
from bank_node.consortium.bounds import allows
from bank_node.consortium.canonical import duration_us, moment_text, moment_us
from bank_node.desk import LONGEST_ACCOUNT, Office
from bank_node.ingest import canonical_account, canonical_bank
from bank_node.node.control import Question
from bank_node.web.run_terms import in_effect

__all__ = ["Asked", "Field", "Terms", "asked_of", "blank", "terms_of"]

_DAY = 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_DAY = 253_402_214_400_000_000  # 31 December 9999
_MOST_ACCOUNTS = 1000
_USUAL: Mapping[str, ParameterRule] = {
    "direction": ParameterRule(one_of=("forward", "backward")),
    "slice": ParameterRule(one_of=("1d", "12h", "7d", "all")),
    "hops": ParameterRule(min="1", max="10"),
    "depth": ParameterRule(one_of=("off", "2", "3", "4", "6", "8")),
}
_DEFAULT = {"direction": "forward", "slice": "1d", "hops": "3", "depth": "off"}


@dataclass(frozen=True)
class Field:
    """A parameter that can be chosen: one of several, or a number from ``least`` to ``most``."""

    name: str
    choices: tuple[str, ...]
    least: str
    most: str
    usual: str


@dataclass(frozen=True)
class Terms:
    """What may be asked.

    Attributes:
        version: of the agreement; None: none is in effect, and ``problem`` may say why.
        rules: parameter → what it may be. fields: those that can be chosen. fixed: the others.
        max_window: longest window, as ``31d``; empty: no bound. policies: output policies.
        may_ask: whether the agreement lets this bank trace.
    """

    version: int | None
    problem: str
    rules: Mapping[str, ParameterRule]
    max_window: str
    policies: tuple[str, ...]
    may_ask: bool

    @property
    def fields(self) -> tuple[Field, ...]:
        """Return the parameters that can be chosen."""
        return tuple(_field(n, r) for n, r in self.rules.items() if r.value is None)

    @property
    def fixed(self) -> Mapping[str, str]:
        """Return the parameters with one value only."""
        return {n: r.value for n, r in self.rules.items() if r.value is not None}


@dataclass(frozen=True)
class Asked:
    """What was filled in, with the question or what is wrong with it.

    Attributes:
        values: field → text. accounts: those asked about. question: None if something is wrong.
        problems: field → what is wrong, a key of ``trace_problem`` in the catalogue.
    """

    values: Mapping[str, str]
    accounts: tuple[str, ...] = ()
    question: Question | None = None
    problems: Mapping[str, str] = field(default_factory=dict)


def terms_of(office: Office) -> Terms:
    """Return what may be asked under the agreement in effect."""
    signed, problem = in_effect(office)
    if signed is None:
        return Terms(None, problem, _USUAL, "", (), may_ask=True)
    return _agreed(signed, canonical_bank(office.config.node.id))


def _agreed(signed: SignedAgreement, bank: str) -> Terms:
    agreement = signed.agreement
    rule = agreement.analysis("trace")
    if rule is None:
        return Terms(agreement.version, "", {}, "", (), may_ask=False)
    rules = {name: rule.parameters[name] for name in _USUAL if name in rule.parameters}
    who = [canonical_bank(name) for name in (agreement.banks if rule.who == "all" else rule.who)]
    return Terms(agreement.version, "", rules, rule.max_window, rule.policies, may_ask=bank in who)


def _field(name: str, rule: ParameterRule) -> Field:
    choices = rule.one_of or ()
    least, most = rule.min or "", rule.max or ""
    usual = _DEFAULT[name]
    if not allows(rule, usual):
        usual = choices[0] if choices else least
    return Field(name, choices, least, most, usual)


def blank(terms: Terms, given: Mapping[str, str], now: int) -> Asked:
    """Return the form before anything was asked: defaults, and what a link has given."""
    until = min(now, _linked(given.get("until", ""), now)) // _DAY * _DAY
    span = min(30 * _DAY, duration_us(terms.max_window) if terms.max_window else 30 * _DAY)
    since = _linked(given.get("since", ""), until - span)
    values = {one.name: one.usual for one in terms.fields} | {
        "accounts": given.get("account", ""),
        "policy": terms.policies[0] if terms.policies else "",
        "since": _date(max(since, until - span)),
        "until": _date(until - 1),
    }
    chosen = {one.name: given[one.name] for one in terms.fields if one.name in given}
    return Asked(values | chosen)


def asked_of(terms: Terms, values: Mapping[str, str]) -> Asked:
    """Return the question that was filled in, or what is wrong with each field."""
    problems: dict[str, str] = {}
    values = {one.name: one.usual for one in terms.fields} | dict(values)
    accounts = _accounts(values.get("accounts", ""))
    if not accounts or any(len(a) > LONGEST_ACCOUNT for a in accounts):
        problems["accounts"] = "need_account"
    if len(accounts) > _MOST_ACCOUNTS:
        problems["accounts"] = "too_many_accounts"
    parameters = dict(terms.fixed)
    for one in terms.fields:
        parameters[one.name] = values[one.name].strip()
        if not allows(terms.rules[one.name], parameters[one.name]):
            problems[one.name] = "not_agreed"
    problem = _add_window(parameters, values, terms)
    if problem:
        problems["until"] = problem
    policy = values.get("policy", "")
    if terms.policies and policy not in terms.policies:
        problems["policy"] = "not_agreed"
    if problems:
        return Asked(values, accounts, None, problems)
    question = Question(accounts=list(accounts), parameters=parameters, policy=policy)
    return Asked(values, accounts, question)


def _accounts(text: str) -> tuple[str, ...]:
    """Return the accounts, one on each line: an id may hold a comma, an IBAN blanks."""
    names = (canonical_account(line) for line in re.split(r"[\r\n]+", text))
    return tuple(dict.fromkeys(name for name in names if name))


def _add_window(parameters: dict[str, str], values: Mapping[str, str], terms: Terms) -> str:
    """Add since and until; returns the key of what is wrong. The last day is part of the window."""
    since, last = (_moment(values.get(name, "")) for name in ("since", "until"))
    if since is None or last is None:
        return "need_days"
    until = last + _DAY
    if until <= since:
        return "days_reversed"
    if terms.max_window and until - since > duration_us(terms.max_window):
        return "window_too_long"
    try:
        parameters |= {"since": moment_text(since), "until": moment_text(until)}
    except ValueError:  # beyond the calendar
        return "need_days"
    return ""


def _moment(text: str) -> int | None:
    """Return a time that stands in a form or a link, or None."""
    try:
        return moment_us(text.strip()) if text.strip() else None
    except (ValueError, OverflowError):
        return None


def _linked(text: str, otherwise: int) -> int:
    """Return a time that a link gives; one that no window can lie at counts as not given."""
    moment = _moment(text)
    return moment if moment is not None and 0 <= moment <= _LAST_DAY else otherwise


def _date(moment: int) -> str:
    return (_EPOCH + timedelta(microseconds=moment)).strftime("%Y-%m-%d")
