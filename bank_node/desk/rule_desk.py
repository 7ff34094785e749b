"""Rules at the desk: what they are, what a change would do, and the samples for tuning them."""

import tomllib

from sqlalchemy import select

from alerts import Action, BackTest, Person, RuleSet, back_test, parse_rules
from alerts.errors import EntryError, RuleError
from alerts.people import check_permission
from alerts.sampling import SampleCounts, judge_sample, sample_counts
from alerts.tables import Sample
from bank_node.desk.evaluator import EvaluationDesk, about
from bank_node.desk.ground import named
from bank_node.desk.pages import SampleLine
from bank_node.desk.results_of import results_of, scored_runs

__all__ = ["RuleDesk"]

_MOST_RUNS = 30
_MOST_TEXT = 200_000


class RuleDesk(EvaluationDesk):
    """What people do with rules."""

    def rules(self, who: Person) -> RuleSet:
        """Return the rules as they stand now."""
        check_permission(who, Action.VIEW)
        return self.current_rules()

    def test_rules(
        self, who: Person, text: str, rule: str | None = None, runs: int = 5
    ) -> list[BackTest]:
        """Try rules on the last stored runs; nothing is written but that it was done.

        Args:
            who: the person. text: a rules file (TOML). rule: only the one of this name.
            runs: how many runs of each analysis, 1 to 30.
        """
        check_permission(who, Action.TEST_RULES)
        rules = _parsed(text)
        if not 1 <= runs <= _MOST_RUNS:
            raise EntryError(f"{runs} runs cannot be tried", f"ask for 1 to {_MOST_RUNS}")
        chosen = rules.rule if rule is None else (rules.named(rule),)
        found = []
        with self._reading() as session, self._payments.view() as view:
            for one in chosen:
                kept = [r for r in scored_runs(session) if about(_only(one), r.analysis).rule]
                days = self._config.alerts.combine_days
                stored = (results_of(session, r, None, days) for r in reversed(kept[:runs]))
                found.append(back_test(session, who, one, stored, view))
        details = {"rules": rules.digest, "runs": runs, "tried": [one.name for one in chosen]}
        self._on_record(who, "rules.tested", details)
        return found

    def samples(self, who: Person) -> list[SampleCounts]:
        """Count the samples of each rule and line, and how they were judged."""
        check_permission(who, Action.VIEW)
        with self._reading() as session:
            return sample_counts(session)

    def sampled(
        self, who: Person, rule: str | None, line: str | None, *, judged: bool, limit: int = 100
    ) -> list[SampleLine]:
        """Return sampled accounts, the newest run first."""
        check_permission(who, Action.VIEW)
        query = select(Sample).where(Sample.judged_by.is_not(None) == judged)
        query = query if rule is None else query.where(Sample.rule == rule)
        query = query if line is None else query.where(Sample.line == line)
        order = (Sample.run_id.desc(), Sample.rule, Sample.line, Sample.account)
        with self._reading() as session:
            rows = session.scalars(query.order_by(*order).limit(limit)).all()
            found = [SampleLine(**{f: getattr(r, f) for f in _SAMPLE}) for r in rows]
        self._on_record(who, "samples.listed", named([s.account for s in found]))
        return found

    def judge(
        self, who: Person, run_id: str, rule: str, account: str, *, worthwhile: bool, note: str
    ) -> None:
        """Record whether a sampled account was worth an alert."""
        with self._writing() as session:
            judge_sample(
                session, who, run_id, rule, account, worthwhile=worthwhile, note=note,
                now=self._clock(),
            )  # fmt: skip
            told = {"rule": rule, "worthwhile": worthwhile} | named([account])
            self._note(session, who, "sample.judged", told, run_id)


_SAMPLE = tuple(SampleLine.__dataclass_fields__)


def _only(rule: object) -> RuleSet:
    return RuleSet.model_validate({"rule": (rule,)})


def _parsed(text: str) -> RuleSet:
    if len(text) > _MOST_TEXT:
        raise RuleError("the rules are too long", f"at most {_MOST_TEXT} characters")
    try:
        return parse_rules(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise RuleError(f"the rules are no TOML ({error})", "correct the file") from None
