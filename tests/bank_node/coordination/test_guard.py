"""The guard: whatever a broker does with the order, the latest wins and nothing counts twice."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from bank_node.coordination import Guard, MemoryPositions, Message, Verdict, unseal
from bank_node.coordination.inbox import Inbox

from .parts import NOW, public_keys, run_of, sealed, status_of

TOPICS = [(m, t) for m in ("bank-a", "bank-b") for t in (status_of(m), run_of(m, "r1"))]


def message(sender: str, topic: str, sequence: int) -> Message:
    """Return a good message."""
    kind = "status" if "/status/" in topic else "statement"
    payload = sealed(sender, topic=topic, sequence=sequence, kind=kind)  # type: ignore[arg-type]
    return unseal(payload, topic, public_keys(), NOW)


ALL = [message(*place, sequence) for place in TOPICS for sequence in range(1, 6)]
deliveries = st.lists(st.sampled_from(ALL), max_size=60)


@given(deliveries)
def test_the_latest_of_each_topic_wins_and_nothing_counts_twice(order: list[Message]) -> None:
    """Any order with any duplicates: numbers rise per topic and end at the highest delivered."""
    guard, accepted = Guard(MemoryPositions()), defaultdict(list)
    for item in order:
        if guard.accept(item) is Verdict.NEW:
            accepted[str(item.topic)].append(item.sequence)
    highest: dict[str, int] = defaultdict(int)
    for item in order:
        highest[str(item.topic)] = max(highest[str(item.topic)], item.sequence)
    for numbers in accepted.values():
        assert numbers == sorted(set(numbers))
    assert {topic: numbers[-1] for topic, numbers in accepted.items()} == dict(highest)


@given(deliveries, st.lists(st.booleans(), min_size=60, max_size=60))
def test_the_same_holds_with_a_slow_reader_and_crashes(
    order: list[Message], reads: list[bool]
) -> None:
    """The inbox may replace what waits, and a crash may undo a handling: the latest still wins."""
    guard, inbox, believed = Guard(MemoryPositions()), Inbox(), {}
    for item, read in zip(order, reads, strict=False):
        inbox.put(item)
        if read:
            taken = inbox.pop()
            if guard.judge(taken) is Verdict.NEW:
                believed[str(taken.topic)] = taken.sequence
                guard.settle(taken)
    while len(inbox):
        taken = inbox.pop()
        if guard.accept(taken) is Verdict.NEW:
            believed[str(taken.topic)] = taken.sequence
    for topic, sequence in believed.items():
        assert sequence == max(item.sequence for item in order if str(item.topic) == topic)
    assert set(believed) == {str(item.topic) for item in order}


def test_a_duplicate_a_stale_and_a_double_number_are_told_apart() -> None:
    """The same again is a duplicate, a lower number stale, another with that number a conflict."""
    guard, topic = Guard(MemoryPositions()), status_of("bank-a")
    old, new, other = (message("bank-a", topic, number) for number in (1, 2, 2))
    assert guard.accept(new) is Verdict.NEW
    assert guard.accept(new) is Verdict.DUPLICATE
    assert guard.accept(old) is Verdict.STALE
    assert guard.accept(other) is Verdict.CONFLICT
    assert guard.accept(message("bank-a", topic, 3)) is Verdict.NEW


def test_a_replay_after_a_restart_is_stale() -> None:
    """Positions outlive the guard: what was passed before a restart is refused after it."""
    positions, topic = MemoryPositions(), status_of("bank-a")
    old, new = message("bank-a", topic, 1), message("bank-a", topic, 2)
    Guard(positions).accept(old)
    Guard(positions).accept(new)
    assert Guard(positions).accept(old) is Verdict.STALE
    assert Guard(positions).accept(new) is Verdict.DUPLICATE


def test_a_message_that_was_judged_but_not_settled_is_still_new() -> None:
    """A node that dies while it handles a message gets it again."""
    guard, item = Guard(MemoryPositions()), message("bank-a", status_of("bank-a"), 1)
    assert guard.judge(item) is Verdict.NEW
    assert guard.judge(item) is Verdict.NEW
    guard.settle(item)
    assert guard.judge(item) is Verdict.DUPLICATE


def test_settling_never_goes_back() -> None:
    """Settling an old message after a new one changes nothing."""
    guard, topic = Guard(MemoryPositions()), status_of("bank-a")
    old, new = message("bank-a", topic, 1), message("bank-a", topic, 2)
    guard.settle(new)
    guard.settle(old)
    assert guard.judge(new) is Verdict.DUPLICATE


def test_members_and_topics_do_not_disturb_each_other() -> None:
    """A high number on one topic does not make messages on another stale."""
    guard = Guard(MemoryPositions())
    assert guard.accept(message("bank-a", status_of("bank-a"), 9)) is Verdict.NEW
    assert guard.accept(message("bank-a", run_of("bank-a", "r1"), 1)) is Verdict.NEW
    assert guard.accept(message("bank-b", status_of("bank-b"), 1)) is Verdict.NEW


def test_the_inbox_has_room_for_so_many_topics_and_no_more() -> None:
    """A member that opens topics without end fills its bound, not the memory."""
    inbox = Inbox(limit=2)
    topics = [run_of("bank-a", f"r{number}") for number in range(3)]
    assert [inbox.put(message("bank-a", t, 1)) for t in topics] == [Verdict.NEW, Verdict.NEW, None]
    assert inbox.put(message("bank-a", topics[0], 2)) is Verdict.NEW
    assert (len(inbox), inbox.pop().sequence) == (2, 2)
