"""The text of ``consortium.toml``: a commented draft, its members and signatures, its next version.

The upper part is for people: whoever drafts the agreement edits it, and it is kept as it is.  Below
a marked line the commands write members and signatures.  Only values count for the hash, so a
comment may be changed at any time and a value may not.
"""

import json
import re
from collections.abc import Sequence
from string import Template

import tomli_w

from bank_node.consortium.agreement import (
    ENGINE,
    Agreement,
    AnalysisRule,
    Member,
    ParameterRule,
    Schedule,
    Signature,
    SignedAgreement,
)
from bank_node.consortium.canonical import as_number, as_text, moment_text, moment_us
from bank_node.consortium.errors import AgreementFileError
from bank_node.consortium.reading import parse_text
from bank_node.consortium.sections import (
    ANALYSES,
    ANALYSES_HINT,
    BUDGETS,
    HEAD,
    MARK,
    SCHEDULES,
    TRANSITION,
)

__all__ = ["draft", "next_version", "render", "rewrite"]


def draft(consortium: str, authority: str, effective: str, expires: str) -> Agreement:
    """Return the first draft of an agreement, without members, with terms to begin from."""
    return Agreement.model_validate(
        {
            "consortium": consortium,
            "version": 1,
            "effective": effective,
            "expires": expires,
            "engine": ENGINE,
            "authority": authority,
            "scope": _SCOPE,
            "analyses": _ANALYSES,
            "budgets": {"period": "month", "bits": 1_000_000_000},
            "schedules": _SCHEDULES,
            "members": [],
        }
    )


_SCOPE = """\
Each bank lets only those of its accounts be scored or asked about whose customers are of higher
risk or in need of more information, and keeps a record of why each is in scope.
"""
_ANALYSES = [
    {
        "name": "risk-propagation",
        "version": "1",
        "policies": ["bands:0.2,0.5,0.8"],
        "max_window": "31d",
        "parameters": {
            "iterations": {"min": 1, "max": 10},
            "delta": {"min": "0.05", "max": "0.3"},
            "slice": {"one_of": ["all", "1d", "7d"]},
            "precision": {"one_of": ["high", "standard"]},
        },
    },
    {
        "name": "round-trip",
        "version": "1",
        "policies": ["bands:0.1,0.5,0.9"],
        "max_window": "31d",
        "parameters": {
            "hops": {"min": 2, "max": 4},
            "slice": {"one_of": ["all", "7d"]},
            "scope": {"value": "in_scope"},
            "columns": {"value": "exact"},
        },
    },
    {
        "name": "trace",
        "version": "1",
        "policies": ["threshold:0.01:0.01"],
        "max_window": "31d",
        "parameters": {
            "traces": {"min": 1, "max": 4},
            "direction": {"one_of": ["forward", "backward"]},
            "hops": {"min": 1, "max": 4},
            "slice": {"one_of": ["1d", "12h", "7d"]},
            "depth": {"one_of": ["off", "2", "3", "4"]},
        },
    },
]
_SCHEDULES = [
    {
        "name": "nightly-risk",
        "analysis": "risk-propagation",
        "cron": "0 2 * * *",
        "policy": "bands:0.2,0.5,0.8",
        "parameters": {"iterations": 2, "delta": "0.3", "slice": "all"},
        "window": "30d",
        "valid": "6h",
    }
]


def render(signed: SignedAgreement) -> str:
    """Return an agreement as a commented file."""
    return _joined(_terms(signed.agreement), signed.agreement.members, signed.signatures)


def rewrite(text: str, members: Sequence[Member], signatures: Sequence[Signature]) -> str:
    """Return the text of an agreement with other members and signatures.

    What stands above the marked line is kept as it is.  A file without that line, written by hand,
    is written anew with its values.
    """
    signed = parse_text(text, "the agreement")
    wanted = signed.agreement.model_copy(update={"members": tuple(members)})
    upper, mark, _lower = text.partition(MARK)
    if mark and not re.search(r"^\s*\[\[(?:members|signatures)\]\]", upper, re.MULTILINE):
        new = _joined(upper, members, signatures)
    else:
        new = render(SignedAgreement(wanted, tuple(signatures)))
    return _checked(new, SignedAgreement(wanted, tuple(signatures)))


def next_version(text: str, effective: str, expires: str) -> str:
    """Return the text of the version that follows, with the same terms and members, unsigned."""
    before = parse_text(text, "the agreement")
    values = {
        "version": before.agreement.version + 1,
        "previous": before.hash,
        "effective": moment_text(moment_us(effective)),
        "expires": moment_text(moment_us(expires)),
    }
    wanted = SignedAgreement(before.agreement.model_copy(update=values))
    upper, mark, _lower = text.partition(MARK)
    top, bracket, tables = upper.partition("\n[")
    for name, value in values.items():
        top = re.sub(rf"(?m)^{name}\s*=.*$", f"{name} = {json.dumps(value)}", top)
    new = _joined(top + bracket + tables, wanted.agreement.members, ()) if mark else ""
    try:
        return _checked(new, wanted)
    except AgreementFileError:
        # The four values stand elsewhere in this file: its comments are lost, its values are not.
        return _checked(render(wanted), wanted)


def _checked(text: str, wanted: SignedAgreement) -> str:
    """Return a text after making sure that it says what it should."""
    found = parse_text(text, "the agreement as written")
    if found.hash != wanted.hash or found.signatures != wanted.signatures:
        raise AgreementFileError(
            "the agreement cannot be written with these values", "Begin from a fresh draft"
        )
    return text


def _joined(upper: str, members: Sequence[Member], signatures: Sequence[Signature]) -> str:
    parts = [upper.rstrip(), "", MARK]
    for name, entries in (("members", members), ("signatures", signatures)):
        for entry in entries:
            value = entry.model_dump(mode="json")
            parts.append(f"[[{name}]]\n{tomli_w.dumps(value, multiline_strings=True)}")
    return "\n".join(parts)


def _terms(agreement: Agreement) -> str:
    values = {
        name: _quoted(getattr(agreement, name))
        for name in ("consortium", "previous", "effective", "expires", "engine")
    }
    head = Template(HEAD).substitute(
        values,
        version=agreement.version,
        authority=_paragraph("authority", agreement.authority),
        scope=_paragraph("scope", agreement.scope),
    )
    parts = [head, ANALYSES, *map(_analysis, agreement.analyses), ANALYSES_HINT]
    budgets = agreement.budgets
    parts.append(
        Template(BUDGETS).substitute(
            period=_quoted(budgets.period), bits=f"{budgets.bits:_}", banks=_table(budgets.banks)
        )
    )
    parts += [SCHEDULES, *map(_schedule, agreement.schedules)]
    transition = {k: _quoted(v) for k, v in agreement.transition.model_dump().items()}
    parts.append(Template(TRANSITION).substitute(transition))
    return "\n".join(parts)


def _analysis(rule: AnalysisRule) -> str:
    lines = [
        "[[analyses]]",
        f"name = {_quoted(rule.name)}",
        f"version = {_quoted(rule.version)}",
        f"policies = [{', '.join(map(_quoted, rule.policies))}]",
    ]
    if rule.max_window:
        lines.append(f"max_window = {_quoted(rule.max_window)}")
    who = _quoted("all") if rule.who == "all" else f"[{', '.join(map(_quoted, rule.who))}]"
    lines += [f"who = {who}", f"prepare = {rule.prepare}", "[analyses.parameters]"]
    lines += [f"{name} = {_rule(rule.parameters[name])}" for name in rule.parameters]
    return "\n".join(lines) + "\n"


def _rule(rule: ParameterRule) -> str:
    if rule.value is not None:
        return f"{{ value = {_scalar(rule.value)} }}"
    if rule.one_of is not None:
        return f"{{ one_of = [{', '.join(map(_scalar, rule.one_of))}] }}"
    return f"{{ min = {_scalar(rule.min or '')}, max = {_scalar(rule.max or '')} }}"


def _schedule(schedule: Schedule) -> str:
    lines = ["[[schedules]]"]
    for name in ("name", "analysis", "cron", "policy", "window", "valid"):
        value = getattr(schedule, name)
        if value:
            lines.append(f"{name} = {_quoted(value)}")
    lines += [f"prepare = {schedule.prepare}", "[schedules.parameters]"]
    lines += [f"{name} = {_scalar(value)}" for name, value in schedule.parameters.items()]
    return "\n".join(lines) + "\n"


def _table(values: dict[str, int]) -> str:
    inner = ", ".join(f"{_quoted(name)} = {value:_}" for name, value in values.items())
    return f"{{ {inner} }}" if inner else "{}"


def _scalar(text: str) -> str:
    """Return a parameter's value: a bare number where that means the same."""
    number = as_number(text)
    if number is not None and as_text(number) == text:
        return text
    return _quoted(text)


def _quoted(text: str) -> str:
    return tomli_w.dumps({"x": text}).removeprefix("x = ").rstrip("\n")


def _paragraph(name: str, text: str) -> str:
    return tomli_w.dumps({name: text}, multiline_strings=True).rstrip("\n")
