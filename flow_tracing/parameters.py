"""Parameters of flow traces and round trips.

Public ones stand in the manifest.  Which accounts are asked about is private: it reaches only the
worker of the bank that asks.  Of the questions only their padded number per bank is public.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from graph_mpc.errors import ParameterError
from graph_mpc.parameters import parse_model
from graph_mpc.window import Window, parse_window

__all__ = [
    "RoundTripParameters",
    "TraceParameters",
    "padded_questions",
    "parse_round_trip",
    "parse_trace",
    "split_questions",
]

_TRACE = (
    "bank and account (private, repeatable) or [[trace]] tables in a file,"
    " direction=forward|backward, since, until, slice=1d|12h|...|all, hops, depth=off|N,"
    " precision=high|standard, max_unmatched"
)
_ROUND_TRIP = (
    "since, until, slice=all|1d|..., hops, columns=exact|batched, per_column, repetitions,"
    " scope=all|in_scope, precision=high|standard, max_unmatched"
)
_MOST_HOPS = 100
_MOST_DEPTH = 32
_MOST_QUESTIONS = 64


class _Windowed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    since: str | None = None
    until: str | None = None
    hops: int = Field(3, ge=1, le=_MOST_HOPS)
    precision: Literal["high", "standard"] = "high"
    max_unmatched: float = Field(1.0, ge=0, le=1)

    @field_validator("slice", "since", "until", mode="before", check_fields=False)
    @classmethod
    def _as_text(cls, value: object) -> object:
        """Take what TOML reads as a date as text."""
        return value if value is None or isinstance(value, str) else str(value)


class TraceParameters(_Windowed):
    """Public parameters of a run of traces, with the names of the command line.

    Attributes:
        traces: ``bank=N`` for each bank that asks, separated by commas: padded number of traces.
        direction: ``forward``: where did the money go; ``backward``: where did it come from.
        since, until, slice: the window and its slices. hops: payments that money can make inside a
        slice. depth: ``off``, or N: tell apart how many payments it made, the last N or more.
        precision: ``high`` (two limbs per weight) or ``standard``. max_unmatched: share of
        cross-bank payments that only one bank knows above which a bank refuses.
    """

    traces: str
    direction: Literal["forward", "backward"] = "forward"
    slice: str = "1d"
    depth: str = "off"

    @field_validator("depth", mode="before")
    @classmethod
    def _depth(cls, value: object) -> str:
        text = str(value)
        if text != "off" and not (text.isdigit() and 1 <= int(text) <= _MOST_DEPTH):
            raise ValueError(f"depth is off or a number from 1 to {_MOST_DEPTH}")
        return text

    @property
    def columns(self) -> int:
        """Columns for each trace."""
        return 1 if self.depth == "off" else int(self.depth)

    def window(self) -> Window:
        """Return the window and its slices."""
        return parse_window(self.since, self.until, self.slice)

    def counts(self) -> dict[str, int]:
        """Return the padded number of traces of each bank that asks."""
        counts: dict[str, int] = {}
        for part in self.traces.split(","):
            bank, _equals, number = part.rpartition("=")
            if not bank or not number.isdigit() or bank in counts:
                raise ParameterError(
                    f"traces={self.traces} is not a list of bank=N", "write for example bank1=1"
                )
            counts[bank] = int(number)
        if any(padded_questions(n) != n for n in counts.values()):
            raise ParameterError(
                f"traces={self.traces} has numbers that are not padded", "give powers of two"
            )
        return counts


class RoundTripParameters(_Windowed):
    """Public parameters of round trips, with the names of the command line.

    Attributes:
        since, until, slice: the window and its slices. hops: payments inside a slice.
        columns: ``exact``: one column per account; ``batched``: ``per_column`` accounts in each,
        with random signs, ``repetitions`` times: an estimate. scope: ``in_scope`` accounts or all.
        precision, max_unmatched: as for traces.
    """

    slice: str = "all"
    hops: int = Field(4, ge=1, le=_MOST_HOPS)
    columns: Literal["exact", "batched"] = "exact"
    per_column: int = Field(10, ge=1, le=1000)
    repetitions: int = Field(2, ge=1, le=64)
    scope: Literal["all", "in_scope"] = "all"

    def window(self) -> Window:
        """Return the window and its slices."""
        return parse_window(self.since, self.until, self.slice)


def padded_questions(count: int) -> int:
    """Return the number of questions that is told to others: the next power of two."""
    return 1 << max(count - 1, 0).bit_length()


def parse_trace(raw: Mapping[str, Any]) -> TraceParameters:
    """Return checked public parameters."""
    if "traces" not in raw:
        raise ParameterError(
            "no bank asks: a trace needs bank and account", "give -p bank=NAME -p account=ACCOUNT"
        )
    parameters = parse_model(TraceParameters, raw, "trace", _TRACE)
    parameters.counts()
    return parameters


def parse_round_trip(raw: Mapping[str, Any]) -> RoundTripParameters:
    """Return checked public parameters."""
    return parse_model(RoundTripParameters, raw, "round-trip", _ROUND_TRIP)


def split_questions(raw: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Take the accounts out of what a user wrote.

    Args:
        raw: parameters with ``bank`` and ``account`` (one or several), or with ``trace``: a list
            of tables with ``bank`` and ``accounts``.

    Returns:
        The public parameters with ``traces``, and for each bank its private inputs:
        ``{"traces": [accounts of the first trace, ...]}``.
    """
    public = {key: v for key, v in raw.items() if key not in ("bank", "account", "trace")}
    tables = raw.get("trace", [])
    if not isinstance(tables, Sequence) or isinstance(tables, str):
        raise ParameterError("trace is not a list of tables", "write each as [[trace]]")
    questions = [_question(t) for t in tables]
    if "bank" in raw or "account" in raw:
        questions.append(_question({"bank": raw.get("bank"), "accounts": raw.get("account")}))
    asked: dict[str, list[list[str]]] = {}
    for bank, accounts in questions:
        asked.setdefault(bank, []).append(accounts)
    if sum(len(traces) for traces in asked.values()) > _MOST_QUESTIONS:
        raise ParameterError(
            f"more than {_MOST_QUESTIONS} traces in one run", "split them over several runs"
        )
    if asked:
        public["traces"] = ",".join(f"{b}={padded_questions(len(q))}" for b, q in asked.items())
    return public, {bank: {"traces": traces} for bank, traces in asked.items()}


def _question(table: Any) -> tuple[str, list[str]]:
    """Return the bank and the accounts of one trace; errors name no account."""
    bank = table.get("bank") if isinstance(table, Mapping) else None
    accounts = table.get("accounts") if isinstance(table, Mapping) else None
    if isinstance(accounts, str):
        accounts = [accounts]
    if not isinstance(bank, str) or not bank:
        raise ParameterError("a trace names no bank", "name the bank that asks: bank=NAME")
    if not accounts or not all(isinstance(a, str) and a for a in accounts):
        raise ParameterError(
            f"a trace of bank {bank} names no account", "name one or several: account=ACCOUNT"
        )
    return bank, list(accounts)
