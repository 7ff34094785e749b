"""The form that proposes a joint run: what the agreement allows, and the proposal filled in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bank_node.analyses import find_analysis
from bank_node.consortium import Agreement, AnalysisRule
from bank_node.consortium.bounds import TRACES, allows, has_window
from bank_node.consortium.canonical import duration_us, moment_text, moment_us
from bank_node.node.control import Proposal

__all__ = ["Draft", "analyses_of", "draft_of"]

_DAY = 86_400_000_000


@dataclass(frozen=True)
class Draft:
    """A proposal as it was filled in.

    Attributes:
        values: field → text; parameters under their own names. problems: field → key of
        ``trace_problem`` in the catalogue. proposal: None if something is wrong.
    """

    values: Mapping[str, str]
    problems: Mapping[str, str] = field(default_factory=dict)
    proposal: Proposal | None = None


def analyses_of(agreement: Agreement) -> tuple[AnalysisRule, ...]:
    """Return the analyses that can be proposed: a question about accounts is asked as a trace."""
    return tuple(rule for rule in agreement.analyses if TRACES not in rule.parameters)


def draft_of(rule: AnalysisRule, values: Mapping[str, str]) -> Draft:
    """Return the proposal that was filled in, or what is wrong with it."""
    problems: dict[str, str] = {}
    parameters: dict[str, str] = {}
    for name, bounds in rule.parameters.items():
        text = bounds.value if bounds.value is not None else values.get(name, "").strip()
        if not text:
            continue  # it keeps its default, which the members hold against the bounds too
        parameters[name] = text
        if not allows(bounds, text):
            problems[name] = "not_agreed"
    rehearse = values.get("rehearse") == "1"
    if has_window(find_analysis(rule.name)):
        problem = _add_window(parameters, values, rule, may_be_empty=rehearse)
        problems |= {"until": problem} if problem else {}
    policy = values.get("policy", "")
    if policy not in rule.policies:
        problems["policy"] = "not_agreed"
    columns = values.get("prepare_runs", "").strip() or "0"
    if not columns.isdecimal() or int(columns) > rule.prepare:
        problems["prepare_runs"] = "not_agreed"
    if problems:
        return Draft(values, problems)
    told: dict[str, Any] = {"rehearse": rehearse, "prepare_runs": int(columns)}
    proposal = Proposal(analysis=rule.name, parameters=parameters, policy=policy, **told)
    return Draft(values, {}, proposal)


def _add_window(
    parameters: dict[str, str], values: Mapping[str, str], rule: AnalysisRule, *, may_be_empty: bool
) -> str:
    """Add since and until; returns what is wrong. The last day is part of the window."""
    given = [values.get(name, "").strip() for name in ("since", "until")]
    if may_be_empty and given == ["", ""]:
        return ""
    try:
        since, last = (moment_us(text) for text in given)
        until = last + _DAY
        texts = moment_text(since), moment_text(until)
    except ValueError:
        return "need_days"
    if until <= since:
        return "days_reversed"
    if rule.max_window and until - since > duration_us(rule.max_window):
        return "window_too_long"
    parameters |= dict(zip(("since", "until"), texts, strict=True))
    return ""
