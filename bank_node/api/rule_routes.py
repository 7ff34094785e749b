"""Rules, trying them on stored runs, and the samples by which they are tuned."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field, StringConstraints

from alerts import BackTest, Rule
from alerts.rules import Metric
from bank_node.api.fields import (
    Account,
    Answer,
    Count,
    Form,
    Level,
    Name,
    Note,
    RunId,
    Time,
    level_of,
)
from bank_node.api.refusals import refusals
from bank_node.api.signing import TheDesk, Who
from bank_node.api.tables import time_of

__all__ = ["router"]

router = APIRouter()
_BODY = (408, 413, 415, 422)


class JointCondition(Answer):
    """A condition on a joint analysis."""

    analysis: str
    reached: float | None
    rise: float | None


class LocalCondition(Answer):
    """A condition on own payments."""

    metric: Metric
    min: float | None
    max: float | None


class RuleAnswer(Answer):
    """A rule; ``enough``: how many joint conditions must hold."""

    name: str
    severity: Level
    reason: str
    enough: Count
    joint: list[JointCondition]
    local: list[LocalCondition]


class SamplingAnswer(Answer):
    """How many accounts of each rule and run are drawn for people to judge."""

    above: Count
    below: Count
    bands: int
    share: float


class Rules(Answer):
    """The rules as they stand now; ``digest`` tells by which ones a run was evaluated."""

    digest: str
    rules: list[RuleAnswer]
    sampling: SamplingAnswer


class TestRules(Form):
    """Rules to try."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=200_000)] = Field(
        description="a rules file (TOML)"
    )
    rule: Name | None = Field(None, description="only the one of this name")
    runs: int = Field(5, strict=True, ge=1, le=30, description="of each analysis, the last ones")


class TestedRun(Answer):
    """What a rule found in one run."""

    run_id: str
    accounts: Count
    customers: Count
    new: Count


class TestedRule(Answer):
    """What a rule would have done; numbers only."""

    rule: str
    runs: list[TestedRun]
    customers: Count
    confirmed: Count
    false_alarms: Count
    unknown: Count
    precision: float | None


class Tested(Answer):
    """What rules would have done."""

    rules: list[TestedRule]


class SampleCount(Answer):
    """How the samples of a rule on one side of its line were judged."""

    rule: str
    line: str
    drawn: Count
    judged: Count
    worthwhile: Count


class SampleCountsAnswer(Answer):
    """Of all rules."""

    counts: list[SampleCount]


class SampleQuery(Form):
    """Which samples."""

    rule: Name | None = None
    line: Literal["above", "below"] | None = None
    judged: bool = False
    limit: int = Field(100, ge=1, le=500)


class SampleAnswer(Answer):
    """An account that was drawn."""

    run_id: str
    rule: str
    account: str
    line: str
    worthwhile: bool | None
    judged_by: str | None
    judged_at: Time | None
    note: str | None


class Samples(Answer):
    """Accounts that were drawn."""

    samples: list[SampleAnswer]


class Judgement(Form):
    """Whether a sampled account was worth an alert."""

    run_id: RunId
    rule: Name
    account: Account
    worthwhile: bool = Field(strict=True)
    note: Note


@router.get("/rules", operation_id="list_rules", responses=refusals(401, 403, 422))
def list_rules(desk: TheDesk, who: Who) -> Rules:
    """Show the rules as they stand in the file now."""
    found = desk.rules(who)
    return Rules(
        digest=found.digest,
        rules=[_rule(rule) for rule in found.rule],
        sampling=SamplingAnswer(**found.sampling.model_dump()),
    )


@router.post("/rules/test", operation_id="test_rules", responses=refusals(401, 403, 409, *_BODY))
def test_rules(desk: TheDesk, who: Who, form: TestRules) -> Tested:
    """Try rules on stored runs before they go live; nothing is written but that it was done."""
    found = desk.test_rules(who, form.text, form.rule, form.runs)
    return Tested(rules=[_tested(one) for one in found])


@router.get("/samples/counts", operation_id="count_samples", responses=refusals(401, 403))
def count_samples(desk: TheDesk, who: Who) -> SampleCountsAnswer:
    """Count the samples of each rule, above and below its line, and how they were judged."""
    found = desk.samples(who)
    return SampleCountsAnswer(counts=[SampleCount(**vars(one)) for one in found])


@router.get("/samples", operation_id="list_samples", responses=refusals(401, 403, 422))
def list_samples(desk: TheDesk, who: Who, asked: Annotated[SampleQuery, Query()]) -> Samples:
    """List sampled accounts, those that wait to be judged unless the others are asked for."""
    found = desk.sampled(who, asked.rule, asked.line, judged=asked.judged, limit=asked.limit)
    lines = [vars(one) | {"judged_at": time_of(one.judged_at)} for one in found]
    return Samples(samples=[SampleAnswer(**line) for line in lines])


@router.post(
    "/samples/judgements",
    operation_id="judge_sample",
    status_code=204,
    responses=refusals(401, 403, 404, 409, *_BODY),
)
def judge_sample(desk: TheDesk, who: Who, form: Judgement) -> None:
    """Say whether a sampled account was worth an alert; each is judged once."""
    desk.judge(
        who, form.run_id, form.rule, form.account, worthwhile=form.worthwhile, note=form.note
    )


def _rule(rule: Rule) -> RuleAnswer:
    return RuleAnswer(
        name=rule.name,
        severity=level_of(rule.severity),
        reason=rule.reason,
        enough=rule.enough,
        joint=[JointCondition(**c.model_dump()) for c in rule.joint],
        local=[LocalCondition(**c.model_dump()) for c in rule.local],
    )


def _tested(found: BackTest) -> TestedRule:
    """Return a back-test in numbers: whoever runs the node may test, and sees no customer."""
    return TestedRule(
        rule=found.rule,
        runs=[TestedRun(**vars(run)) for run in found.runs],
        customers=len(found.subjects),
        confirmed=found.confirmed,
        false_alarms=found.false_alarms,
        unknown=found.unknown,
        precision=found.precision,
    )
