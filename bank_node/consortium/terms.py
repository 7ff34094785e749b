"""Whether the terms of an agreement make sense: dates, analyses, bounds, budgets, schedules."""

from bank_node.analyses import find_analysis
from bank_node.consortium.agreement import (
    ENGINE,
    Agreement,
    AnalysisRule,
    Schedule,
    SignedAgreement,
    window_us,
)
from bank_node.consortium.bounds import (
    TRACES,
    WINDOW,
    Finder,
    check_parameters,
    has_window,
    is_private,
    known_parameters,
    required_parameters,
)
from bank_node.consortium.canonical import duration_us, first_twice, moment_text
from bank_node.consortium.errors import ManifestRefused, TermsError
from bank_node.consortium.judging import LONGEST_VALID
from bank_node.consortium.manifest import scheduled_manifest
from bank_node.consortium.timetable import first_slot, is_cron
from bank_node.errors import UndercurrentError
from graph_mpc.errors import EngineError
from graph_mpc.policy import parse_policy
from graph_mpc.program import Analysis, PreparableAnalysis

__all__ = ["check_terms"]

_AGREE = "Correct the draft; all members sign it afterwards"


def check_terms(agreement: Agreement, finder: Finder = find_analysis) -> None:
    """Refuse dates, analyses, bounds, budgets and schedules that make no sense."""
    if agreement.effective_us >= agreement.expires_us:
        raise TermsError(
            f"the agreement ends at {agreement.expires}, before it comes into effect", _AGREE
        )
    if agreement.engine != ENGINE:
        raise TermsError(
            f"the agreement is for engine {agreement.engine}, this program has engine {ENGINE}",
            "Install the version of the program that was agreed on",
        )
    if not agreement.analyses:
        raise TermsError("the agreement allows no analysis", _AGREE)
    _check_names("analyses", [rule.name for rule in agreement.analyses])
    _check_names("schedules", [schedule.name for schedule in agreement.schedules])
    for bank in agreement.budgets.banks:
        _check_is_bank(bank, "a budget", agreement)
    for rule in agreement.analyses:
        _check_analysis(rule, agreement, finder)
    for schedule in agreement.schedules:
        _check_schedule(schedule, agreement, finder)


def _check_names(what: str, names: list[str]) -> None:
    twice = first_twice(names)
    if twice is not None:
        raise TermsError(f"two {what} are called {twice}", _AGREE)


def _check_is_bank(name: str, what: str, agreement: Agreement) -> None:
    if name not in agreement.banks:
        raise TermsError(f"{what} names {name}, which is no bank of the agreement", _AGREE)


def _find(rule: AnalysisRule, finder: Finder) -> Analysis:
    try:
        analysis = finder(rule.name)
    except UndercurrentError as error:
        raise TermsError(error.message, error.remedy) from error
    if analysis.version != rule.version:
        raise TermsError(
            f"{rule.name} is agreed in version {rule.version}, this program has {analysis.version}",
            "All members need the same version of the program",
        )
    return analysis


def _check_analysis(rule: AnalysisRule, agreement: Agreement, finder: Finder) -> None:
    analysis = _find(rule, finder)
    for bank in () if rule.who == "all" else rule.who:
        _check_is_bank(bank, f"who of {rule.name}", agreement)
    for policy in rule.policies:
        try:
            parse_policy(policy)
        except EngineError as error:
            raise TermsError(f"{rule.name}: {error.message}", error.remedy) from error
    _check_rules(rule, analysis)
    if has_window(analysis) != bool(rule.max_window):
        need = "needs max_window" if has_window(analysis) else "looks at no window"
        raise TermsError(
            f"{rule.name} {need}",
            'Write for example max_window = "31d"'
            if has_window(analysis)
            else "Leave max_window out: it takes all payments that the banks hold",
        )
    if rule.prepare and not isinstance(analysis, PreparableAnalysis):
        raise TermsError(f"columns of {rule.name} cannot be prepared", "Write prepare = 0")


def _check_rules(rule: AnalysisRule, analysis: Analysis) -> None:
    try:
        known = known_parameters(analysis)
    except ManifestRefused as error:
        raise TermsError(error.message, error.remedy) from error
    for name in rule.parameters:
        if is_private(name):
            raise TermsError(
                f"{rule.name}: parameter {name} is private and never stands in a manifest",
                "Remove its rule",
            )
        if name not in known:
            raise TermsError(
                f"{rule.name} has no parameter {name}", f"It has {', '.join(sorted(known))}"
            )
    missing = sorted(required_parameters(analysis) - set(rule.parameters) - set(WINDOW))
    if missing:
        example = " = { min = 1, max = 4 }" if missing[0] == TRACES else ""
        raise TermsError(
            f"{rule.name} needs parameter {missing[0]}, and no rule allows one",
            f"Write a rule for {missing[0]}{example}",
        )


def _check_schedule(schedule: Schedule, agreement: Agreement, finder: Finder) -> None:
    where = f"schedule {schedule.name}"
    rule = agreement.analysis(schedule.analysis)
    if rule is None:
        raise TermsError(f"{where} names {schedule.analysis}, which is no agreed analysis", _AGREE)
    if not is_cron(schedule.cron):
        raise TermsError(
            f"{where}: cron {schedule.cron!r} says no time",
            'Write five fields of plain cron, UTC, for example "0 2 * * *"',
        )
    if duration_us(schedule.valid) > LONGEST_VALID:
        raise TermsError(f"{where}: valid is longer than 31 days", "Write for example 6h")
    if schedule.policy not in rule.policies:
        raise TermsError(f"{where}: its policy is not one of {rule.name}", _AGREE)
    if schedule.prepare > rule.prepare:
        raise TermsError(f"{where} prepares for more runs than {rule.name} may", _AGREE)
    longest, window = window_us(rule.max_window), window_us(schedule.window)
    if (longest is None) != (window is None):
        need = "has no window" if window is None else f"has a window, {rule.name} has none"
        raise TermsError(f"{where} {need}", _AGREE)
    slot = first_slot(schedule, agreement)
    if slot is None:
        raise TermsError(f"{where} has no time while the agreement is in effect", _AGREE)
    if set(schedule.parameters) & set(WINDOW):
        raise TermsError(f"{where}: since and until follow from its window", "Leave them out")
    try:
        parameters = scheduled_manifest(
            SignedAgreement(agreement), schedule.name, moment_text(slot)
        ).parameters
        check_parameters(parameters, rule, agreement, _find(rule, finder))
    except ManifestRefused as error:
        raise TermsError(f"{where}: {error.message}", error.remedy) from error
