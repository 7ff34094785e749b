"""All members store the result of a run, or none does, whatever is lost, late, repeated or killed.

The members here are the real decision function around a few durable fields; messages, workers,
crashes and the clock are drawn at random.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

import pytest

from bank_node.node.machine import Limits, Move, RunView, decide
from bank_node.node.statement import Statement, StatementError, parse_statement

LIMITS = Limits(attempts=3, ready=30.0, retry_after=5.0)
HOUR = 3_600_000_000
SECOND = 1_000_000


@dataclass
class Member:
    """One simulated member; ``own``, ``tries`` and ``staged`` survive a crash."""

    name: str
    others: list[str]
    own: Statement = field(default_factory=Statement)
    since: int = 0
    tries: int = 0
    staged: int = 0
    stored: list[int] = field(default_factory=list)
    worker: int = 0
    heard: dict[str, Statement | None] = field(default_factory=dict)
    votes: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)
    ran: set[int] = field(default_factory=set)
    down: bool = False

    def __post_init__(self) -> None:
        self.heard = dict.fromkeys(self.others)

    def state(self, own: Statement, now: int) -> None:
        """Take a standing, and remember which votes were given."""
        self.own, self.since = own, now
        if own.phase == "computed":
            self.votes.add(own.attempt)
        if own.phase == "failed":
            self.failed.add(own.attempt)

    def act(self, now: int) -> bool:
        """Make the next move; return whether anything was stated."""
        view = RunView(
            me=self.name,
            own=self.own,
            peers=self.heard,
            expires=HOUR,
            since=self.since,
            tries=self.tries,
            may_begin=True,
        )
        move = decide(view, now, LIMITS)
        if move.act == "wait":
            return False
        self._execute(move, now)
        return True

    def _execute(self, move: Move, now: int) -> None:
        failure = {"attempt": move.attempt, "code": move.code, "reason": move.reason}
        if move.act == "get-ready":
            self.state(self.own.moved("ready", attempt=move.attempt, port=9400), now)
        elif move.act == "start":
            self.tries += 1
            self.worker = move.attempt
            self.ran.add(move.attempt)
            self.state(self.own.moved("running", port=9400, started=True), now)
        elif move.act in ("stop", "drop", "fail"):
            self.worker, self.staged = 0, 0
            self.state(self.own.moved("failed", **failure), now)
        elif move.act == "store":
            assert self.staged == move.attempt
            self.stored.append(move.attempt)
            self.state(self.own.moved("stored"), now)
        elif move.act == "try-again":
            self.state(self.own.moved("consented", attempt=move.attempt), now)
        else:
            phase = "refused" if move.act == "refuse" else "abandoned"
            self.state(self.own.moved(phase, code=move.code, reason=move.reason), now)

    def worker_ends(self, well: bool, now: int) -> None:
        """Let the worker end."""
        attempt, self.worker = self.worker, 0
        if well:
            self.staged = attempt
            self.state(self.own.moved("computed"), now)
        else:
            self.state(self.own.moved("failed", code="run.failed", reason="worker died"), now)

    def restart(self, now: int) -> None:
        """Come back after kill -9: the worker is gone, what was stated stands."""
        self.down, self.worker = False, 0
        self.heard = dict.fromkeys(self.others)
        if self.own.phase in ("ready", "running"):
            self.state(self.own.moved("failed", code="node.restarted", reason="restarted"), now)


class World:
    """Members, messages under way, and a seed."""

    def __init__(self, seed: int, members: int, calm_after: int) -> None:
        self.random = random.Random(seed)
        names = [f"bank{i}" for i in range(members)]
        self.members = {n: Member(n, [o for o in names if o != n]) for n in names}
        self.under_way: list[tuple[str, str, int, Statement]] = []
        self.number = dict.fromkeys(names, 0)
        self.seen: dict[tuple[str, str], int] = {}
        self.retained: dict[str, tuple[int, Statement]] = {}
        self.now, self.calm_after, self.steps = 0, calm_after, 0
        for member in self.members.values():
            member.state(Statement("consented", 0, "ab" * 64), 0)
            self.publish(member)

    def publish(self, member: Member) -> None:
        """Send the member's standing to all, some of it twice."""
        self.number[member.name] += 1
        self.retained[member.name] = (self.number[member.name], member.own)
        for other in member.others:
            for _copy in range(1 + (self.random.random() < 0.2)):
                self.under_way.append((member.name, other, self.number[member.name], member.own))

    def deliver(self, sender: str, receiver: str, number: int, statement: Statement) -> None:
        """Deliver a message; what is older than the last one accepted is ignored."""
        member = self.members[receiver]
        if member.down or number <= self.seen.get((sender, receiver), 0):
            return
        self.seen[sender, receiver] = number
        member.heard[sender] = parse_statement(statement.content())

    def step(self) -> None:
        """Do one thing at random."""
        self.steps += 1
        calm = self.steps > self.calm_after
        dice = self.random.random()
        member = self.random.choice(list(self.members.values()))
        if dice < 0.5 and self.under_way:
            index = self.random.randrange(len(self.under_way))
            message = self.under_way.pop(index)
            if calm or self.random.random() > 0.1:
                self.deliver(*message)
        elif dice < 0.9:
            self.let_act(member, calm)
        elif dice < 0.94 and not calm and not member.down:
            member.down = True
        elif member.down:
            member.restart(self.now)
            self.reread(member)
            self.publish(member)
        self.now += self.random.randrange(SECOND // 5)

    def let_act(self, member: Member, calm: bool) -> None:
        """Let a member decide, or its worker end."""
        if member.down:
            return
        if member.worker and self.random.random() < 0.3:
            self.let_worker_end(member, calm)
        elif member.act(self.now):
            self.publish(member)
        elif self.random.random() < 0.3:
            self.publish(member)  # The heartbeat.

    def let_worker_end(self, member: Member, calm: bool) -> None:
        """A worker ends well only after the others' have begun; it waits a minute for them."""
        attempt, members = member.worker, self.members.values()
        together = all(attempt in m.ran for m in members)
        lost = any(attempt in m.failed for m in members) and attempt not in set().union(
            *(m.votes for m in members)
        )
        if not together and not lost and self.now - member.since < 60 * SECOND:
            return
        well = together and not lost and (calm or self.random.random() < 0.6)
        member.worker_ends(well, self.now)
        self.publish(member)

    def reread(self, member: Member) -> None:
        """After a restart a member hears again what the broker kept."""
        for other in member.others:
            self.seen.pop((other, member.name), None)
            self.deliver(other, member.name, *self.retained[other])

    def is_over(self) -> bool:
        return all(m.own.is_final and not m.down for m in self.members.values())

    def check(self) -> None:
        """The invariants; they hold after every step."""
        stored = {a for m in self.members.values() for a in m.stored}
        assert len(stored) <= 1
        for attempt in stored:
            for m in self.members.values():
                assert attempt in m.votes
                assert attempt not in m.failed
                assert m.own.phase in ("computed", "stored")
        assert all(len(m.stored) <= 1 for m in self.members.values())
        assert all(m.tries <= LIMITS.attempts for m in self.members.values())


@pytest.mark.parametrize("members", [3, 4, 5])
def test_all_store_or_none(members: int) -> None:
    """Over random losses, repetitions, delays, crashes and failing workers."""
    stored = given_up = 0
    for seed in range(150):
        world = World(seed, members, calm_after=400)
        while not world.is_over() and world.steps < 80_000:
            world.step()
            world.check()
        assert world.is_over(), (seed, {m.name: m.own for m in world.members.values()})
        results = {bool(m.stored) for m in world.members.values()}
        assert len(results) == 1, seed
        stored += results == {True}
        given_up += results == {False}
    assert stored > 30
    assert given_up > 2


def test_a_quiet_world_stores_at_the_first_attempt() -> None:
    """Without faults the first attempt is the last."""
    world = World(1, 3, calm_after=0)
    while not world.is_over():
        world.step()
    assert all(m.stored == [1] or m.stored == [2] for m in world.members.values())


VIEW = RunView(
    me="A",
    own=Statement("consented", 0, "ab" * 64),
    peers={"B": Statement("consented", 0, "cd" * 64), "C": None},
    expires=HOUR,
    since=0,
    tries=0,
    may_begin=True,
)


def test_nothing_begins_without_every_signature() -> None:
    """A member that has heard nothing of another, or no signature, waits."""
    assert decide(VIEW, 0, LIMITS).act == "wait"
    unsigned = replace(VIEW, peers={**VIEW.peers, "C": Statement("judging")})
    assert decide(unsigned, 0, LIMITS).act == "wait"
    signed = replace(VIEW, peers={**VIEW.peers, "C": Statement("consented", 0, "ef" * 64)})
    assert decide(signed, 0, LIMITS) == Move("get-ready", 1)


def test_a_refusal_ends_it_for_all_with_its_reason() -> None:
    """Who refused and why is what the others state."""
    refused = Statement("refused", code="store.budget", reason="the budget of B is spent")
    move = decide(replace(VIEW, peers={**VIEW.peers, "C": refused}), 0, LIMITS)
    assert move == Move("abandon", 0, "store.budget", "C refused: the budget of B is spent")


def test_who_did_not_answer_is_named_at_the_end_of_its_time() -> None:
    """A run that could not begin says whose consent was missing."""
    move = decide(VIEW, HOUR + 1, LIMITS)
    assert move.act == "abandon"
    assert move.reason == "not begun in time: no consent of C"


def test_a_vote_is_kept_while_another_is_away() -> None:
    """A member that has computed waits for a silent one however long, and does not drop."""
    own = Statement("computed", 2, "ab" * 64)
    peers = {"B": Statement("computed", 2, "cd" * 64), "C": Statement("running", 2, "ef" * 64)}
    view = replace(VIEW, own=own, peers=peers)
    assert decide(view, 1000 * HOUR, LIMITS).act == "wait"
    told = {**peers, "C": Statement("failed", 2, "ef" * 64, code="run.failed", reason="died")}
    assert decide(replace(view, peers=told), 0, LIMITS).act == "drop"


def test_attempts_are_bounded_and_further_apart() -> None:
    """After the last attempt the run is given up with the reason of the last failure."""
    own = Statement("failed", 2, "ab" * 64, code="run.failed", reason="C is silent")
    peers = {"B": Statement("failed", 2, "cd" * 64), "C": Statement("failed", 2, "ef" * 64)}
    view = replace(VIEW, own=own, peers=peers, tries=2)
    assert decide(view, int(9.9 * SECOND), LIMITS).act == "wait"
    assert decide(view, 10 * SECOND, LIMITS) == Move("try-again", 3)
    assert decide(replace(view, tries=3), 0, LIMITS) == Move(
        "abandon", 2, "run.failed", "C is silent"
    )


@pytest.mark.parametrize(
    "content",
    [
        {"phase": "won"},
        {"phase": "ready", "attempt": -1},
        {"phase": "ready", "attempt": "1"},
        {"phase": "ready", "port": 70000},
        {"phase": "consented", "signature": "xyz"},
        {"phase": "failed", "reason": "x" * 501},
        {"phase": "failed", "code": "no spaces"},
        {"phase": "running", "progress": {"phase": "apply", "done": 1}},
        {"phase": "running", "progress": {"phase": "DE89 3704", "done": 1, "total": 2}},
        {},
    ],
    ids=str,
)
def test_a_statement_of_the_wrong_form_is_refused(content: dict[str, object]) -> None:
    """Each field of a peer's statement is checked for type and size; none of it is repeated."""
    with pytest.raises(StatementError) as caught:
        parse_statement(content)
    assert "DE89" not in str(caught.value)


def test_words_of_a_peer_are_one_printable_line() -> None:
    """Line ends and control codes of a peer's reason do not reach a terminal or a log."""
    told = parse_statement({"phase": "failed", "reason": "bad\n\x1b[31mthing"})
    assert told.reason == "bad  [31mthing"
