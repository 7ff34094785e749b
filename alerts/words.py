"""Amounts, times and numbers as people read them, and the checks of what people write."""

from datetime import UTC, datetime, timedelta

from alerts.errors import EntryError, NoteRequired

__all__ = ["amount_text", "checked_note", "iso_time", "number_text", "plural"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_NOTE = 10_000


def iso_time(microseconds: int | None) -> str:
    """Return a time as ISO 8601 in UTC, without fractions; empty for None.

    >>> iso_time(1_772_368_200_000_000)
    '2026-03-01T12:30:00Z'
    """
    if microseconds is None:
        return ""
    return (_EPOCH + timedelta(seconds=microseconds // 1_000_000)).strftime("%Y-%m-%dT%H:%M:%SZ")


def amount_text(minor: int, decimals: int) -> str:
    """Return an amount in minor units as plain decimal text.

    >>> amount_text(-5, 2), amount_text(123456, 2), amount_text(7, 0)
    ('-0.05', '1234.56', '7')
    """
    sign, digits = ("-" if minor < 0 else ""), str(abs(minor)).rjust(decimals + 1, "0")
    whole, part = (digits[:-decimals], digits[-decimals:]) if decimals else (digits, "")
    return f"{sign}{whole}.{part}" if part else f"{sign}{whole}"


def number_text(value: float | None) -> str:
    """Return a band as a whole number, a score with six digits, and nothing known as ``none``.

    >>> number_text(3.0), number_text(0.123456789), number_text(None)
    ('3', '0.123457', 'none')
    """
    return "none" if value is None else f"{value:.6g}"


def plural(count: int, word: str) -> str:
    """Return a count with its word.

    >>> plural(1, "account"), plural(1200, "payment")
    ('1 account', '1,200 payments')
    """
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def checked_note(note: str) -> str:
    """Return the note without blanks around it; refuse an empty, huge or unprintable one."""
    text = note.strip()
    if not any(character.isalnum() for character in text):
        raise NoteRequired("the note says nothing", "say in a few words why")
    if len(text) > _LONGEST_NOTE:
        raise EntryError(f"the note is longer than {_LONGEST_NOTE} characters", "shorten it")
    if any((ord(c) < 32 and c not in "\n\t\r") or 0xD800 <= ord(c) <= 0xDFFF for c in text):
        raise EntryError("the note has control characters", "write plain text")
    return text
