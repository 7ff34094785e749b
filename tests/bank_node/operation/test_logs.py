"""A log line holds what is known to be harmless, whatever the code that logs hands over."""

import io
import json
import logging
import string
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from bank_node.coordination.errors import ClockError
from bank_node.coordination.journal import Journal
from bank_node.errors import UndercurrentError, UnreadableFileError
from bank_node.node.errors import NotRunningError
from bank_node.operation.faults import TELLING, describe_exception
from bank_node.operation.fields import ALLOWED_FIELDS, MEMBER_FIELDS, UNKNOWN_MEMBER, admit
from bank_node.operation.logs import WITHHELD, LogGuard, configure_logs

pytestmark = pytest.mark.usefixtures("log_state")

MEMBERS = frozenset({"bank-a", "bank-b", "neutral"})
IBAN = "DE02100100100006820101"
RUN = "0123456789abcdef0123456789abcdef"

ibans = st.builds(
    "{}{:02d}{}".format,
    st.sampled_from(["DE", "GB", "NL", "FR"]),
    st.integers(2, 98),
    st.text(string.ascii_uppercase + string.digits, min_size=11, max_size=30),
)
numbers = st.text(string.digits, min_size=8, max_size=20)
words = st.from_regex(r"[A-Z][A-Za-z0-9]{0,3}[-_ ]?[0-9]{4,12}", fullmatch=True)
accounts = st.one_of(ibans, numbers, words)
anything = st.text(min_size=6, max_size=40)
in_functions = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


class Lines:
    """A log to be looked at."""

    def __init__(self, level: Any = "debug", form: Any = "json") -> None:
        self.stream = io.StringIO()
        self.guard = configure_logs(
            level, form, members=lambda: MEMBERS, stream=self.stream, clock=lambda: 1_000_000
        )
        self.log = structlog.get_logger()

    @property
    def text(self) -> str:
        """All that was written."""
        return self.stream.getvalue()

    def all(self) -> list[dict[str, Any]]:
        """Return the lines."""
        return [json.loads(line) for line in self.text.splitlines()]

    def one(self) -> dict[str, Any]:
        """Return the only line."""
        (line,) = self.all()
        return line


def test_what_is_allowed_is_written() -> None:
    """Ids of runs and members, counts, codes and seconds stand in the line as they were given."""
    lines = Lines()
    lines.log.info(
        "run stored", run_id=RUN, member="bank-a", code="run.failed", seconds=1.5, rows=7
    )
    assert lines.one() == {
        "time": "1970-01-01T00:00:01.000Z",
        "level": "info",
        "event": "run stored",
        "run_id": RUN,
        "member": "bank-a",
        "code": "run.failed",
        "seconds": 1.5,
        "rows": 7,
    }


@in_functions
@given(name=st.from_regex(r"[a-z_]{1,20}", fullmatch=True), value=anything)
def test_a_field_that_is_not_allowed_never_reaches_the_output(name: str, value: str) -> None:
    """Whatever stands in a field whose name is not in the list is left out and counted."""
    assume(name not in ALLOWED_FIELDS and name not in MEMBER_FIELDS)
    assume(name not in ("event", "exc_info", "self", "level", "stack_info"))
    lines = Lines()
    lines.log.info("run stored", **{name: value})
    line = lines.one()
    assert line.keys() == {"time", "level", "event", "at", "dropped"}
    assert line["dropped"] == lines.guard.dropped == 1


@in_functions
@given(account=accounts, name=st.sampled_from(sorted({*ALLOWED_FIELDS, *MEMBER_FIELDS})))
def test_an_account_id_passes_in_no_field_of_text(account: str, name: str) -> None:
    """An account id in an allowed field is not of the field's form: it is left out."""
    lines = Lines()
    lines.log.info("run stored", **{name: account})
    assert account not in lines.text
    assert lines.one().get(name) in (None, UNKNOWN_MEMBER)


@in_functions
@given(account=accounts, name=st.sampled_from(sorted({*ALLOWED_FIELDS, *MEMBER_FIELDS})))
def test_nothing_inside_a_container_passes(account: str, name: str) -> None:
    """A list, a table or an object in an allowed field is left out whole."""
    lines = Lines()
    for value in ([account], {account: 1}, (account,), account.encode(), Path(account)):
        lines.log.info("run stored", **{name: value})
    assert account not in lines.text


@in_functions
@given(account=accounts)
def test_words_put_together_from_data_never_reach_the_output(account: str) -> None:
    """The words of an event are a constant of the code, or they are withheld."""
    lines = Lines()
    lines.log.info(account)
    lines.log.info(f"lost {account}")
    lines.log.info("lost %s", account)
    logging.getLogger("bank_node.x").warning("lost %s", account)
    logging.getLogger(account).warning(f"lost {account}", extra={account: account})
    logging.getLogger("aiomqtt").error("topic", extra={"topic": account, "rows": 3})
    warnings.warn(f"odd {account}", stacklevel=1)
    assert account not in lines.text
    assert len(lines.all()) == 7
    events = [line["event"] for line in lines.all()]
    assert events == [WITHHELD, WITHHELD, WITHHELD, "lost …", WITHHELD, "topic", WITHHELD]
    assert lines.all()[5]["rows"] == 3


@in_functions
@given(account=accounts)
def test_an_exception_is_told_without_its_message(account: str) -> None:
    """Type, code, place and causes of an exception are written, its words are not."""
    lines = Lines()
    try:
        try:
            raise KeyError(account)
        except KeyError as error:
            raise UnreadableFileError(f"row of {account}", f"Look at {account}") from error
    except UnreadableFileError:
        lines.log.exception("taking in failed")
    line = lines.one()
    assert account not in lines.text
    assert (line["level"], line["code"]) == ("error", "data.unreadable-file")
    assert line["error"] == "bank_node.errors.UnreadableFileError"
    assert line["trace"][0].startswith(f"{__name__}:")
    assert line["causes"][0]["error"] == "KeyError"


@in_functions
@given(account=accounts)
def test_groups_and_notes_of_exceptions_are_told_without_words(account: str) -> None:
    """An exception group tells the types inside it; notes are not told at all."""
    inner = ValueError(account)
    inner.add_note(account)
    told = describe_exception(ExceptionGroup(account, [inner, TypeError(account)]))
    assert [one["error"] for one in told["group"]] == ["ValueError", "TypeError"]
    assert account not in json.dumps(told)


def test_only_classes_named_for_it_keep_their_message() -> None:
    """Errors about the node itself say what is wrong; one of a subclass made elsewhere does not."""

    class Sly(NotRunningError):
        """Not in the list."""

    assert "nobody" in describe_exception(NotRunningError("nobody answers", "Start it"))["message"]
    assert "message" not in describe_exception(Sly(IBAN, IBAN))
    assert all(issubclass(cls, UndercurrentError) for cls in TELLING)


def test_an_exception_that_quotes_itself_as_cause_ends() -> None:
    """A circle of causes is told once."""
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert len(describe_exception(first)["causes"]) == 1


def test_text_that_only_looks_like_a_constant_type_is_withheld() -> None:
    """A subclass of str could be anything when it is written, so it is no constant."""

    class Loud(str):
        def __str__(self) -> str:
            return IBAN

    lines = Lines()
    lines.log.info(Loud("run stored"), code=Loud("run.failed"))
    assert IBAN not in lines.text
    assert lines.one()["event"] == WITHHELD


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("run_id", RUN, "1234567890123456"),
        ("run_id", "nightly-" + RUN, IBAN),
        ("member", "bank-b", "bank-c"),
        ("code", "store.disk-full", "store.12345678"),
        ("policy", "bands:0.2,0.5,0.8", "bands:DE02"),
        ("policy", "threshold:0.8:0.05", "threshold:12345678901:1"),
        ("slot", "2026-11-24T00:00:00Z", "12345678"),
        ("period", "2026-11/v2", "20261124"),
        ("version", "1.2.0", "123456789"),
        ("digest", "ab" * 32, "ab" * 31),
        ("port", 9400, 94000),
        ("status", -9, 1234567890),
        ("rehearsal", True, 1),
        ("rows", 12, True),
        ("rows", 12, 2**60),
        ("seconds", 0.5, float("nan")),
        ("signal", "SIGTERM", "SIGACCOUNT12"),
        ("error", "OperationalError", "A1234567"),
    ],
)
def test_allowed_fields_are_checked_by_form(name: str, good: object, bad: object) -> None:
    """A value passes if it has the form of its field, and not otherwise."""
    assert admit(name, good, MEMBERS) == good
    assert admit(name, bad, MEMBERS) in (None, UNKNOWN_MEMBER)


def test_the_log_goes_on_when_nobody_reads_it() -> None:
    """A closed stream loses lines, but stops nothing."""
    lines = Lines()
    lines.stream.close()
    lines.log.error("run stored")
    logging.getLogger("x").error("run stored")


def test_levels_hold_for_libraries_too() -> None:
    """Below the level nothing is written; libraries tell warnings and worse unless debugging."""
    lines = Lines("info")
    lines.log.debug("run stored")
    logging.getLogger("asyncio").info("using selector")
    logging.getLogger("asyncio").warning("slow callback")
    assert [line["event"] for line in lines.all()] == ["slow callback"]


def test_the_console_shows_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """For a terminal the same fields stand in columns; nothing else gets there."""
    lines = Lines("info", "console")
    lines.log.info("run stored", rows=3, account=IBAN)
    assert "run stored" in lines.text
    assert "rows=3" in lines.text
    assert IBAN not in lines.text
    assert capsys.readouterr() == ("", "")


def test_a_refused_message_is_told_with_its_sender() -> None:
    """Of a refused message the log says who, why and, for clocks, by how many seconds."""
    lines = Lines()
    journal = Journal(lambda: 0)
    ahead = ClockError("the clock of bank-b is 121 s ahead of ours", "bank-b")
    journal.refused(ahead, "undercurrent/v1/c/run/bank-b/0001")
    line = lines.one()
    assert "coordination.clock: message refused, sender bank-b, run topic" in line["event"]
    assert "121 s ahead" in line["event"]
    assert "dropped" not in line


def test_arguments_that_do_not_fit_their_words_are_left_out() -> None:
    """A format string with too many, too few or misshapen arguments stays as it is."""
    lines = Lines()
    logging.getLogger("x").error("lost %s and %s", "bank-a")
    logging.getLogger("x").error("lost %(name)s", {"name": IBAN})
    logging.getLogger("x").error("lost %d", IBAN)
    assert [line["dropped"] for line in lines.all()] == [1, 1, 1]
    assert IBAN not in lines.text


def test_a_line_is_one_line() -> None:
    """Nothing in a field can begin a line of its own."""
    lines = Lines()
    lines.log.info("run stored", code="a\nb", member="bank-a\n", reason="x\ny")
    assert len(lines.text.splitlines()) == 1


def test_last_words_of_a_process_hold_no_message() -> None:
    """What ends a thread, a finaliser or the process is told by type and place."""
    code = f"""
import threading
from bank_node.operation.logs import configure_logs
configure_logs()
class Odd:
    def __del__(self): raise ValueError({IBAN!r})
odd = Odd(); del odd
thread = threading.Thread(target=lambda: int({IBAN!r})); thread.start(); thread.join()
raise RuntimeError({IBAN!r})
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.returncode == 1
    assert [line["error"] for line in lines] == ["ValueError", "ValueError", "RuntimeError"]
    assert IBAN not in done.stderr + done.stdout


def test_dropped_words_are_counted_over_all_lines() -> None:
    """The guard knows how many words it has kept out, for the metrics."""
    lines = Lines()
    lines.log.info("run stored", account=IBAN, name="x")
    lines.log.info(IBAN + "")
    assert lines.guard.dropped == 3
    assert LogGuard().dropped == 0
