"""Errors of alerts and cases, each with what to do about it.

::

    AlertsError                     base; knows its stable code and the exit code of the command
    ├── InputError                  wrong input (exit code 2)
    │   ├── RuleError               a rule cannot be what it says
    │   ├── ProfileError            a country profile is incomplete or wrong
    │   ├── EntryError              a person's name, a note or a number cannot be accepted
    │   ├── NoteRequired            a change of a case without a note
    │   └── NotFound                no such alert, case or sample
    ├── Refused                     refused by the rules of the bank (exit code 3)
    │   ├── NotPermitted            the role does not allow the action
    │   ├── WrongState              the action does not exist in the state of the case
    │   ├── NotAssignee             only the person who has the case may do this
    │   ├── FourEyes                who worked on a case cannot approve its closing
    │   └── SnoozeRefused           snoozed too long, or asleep
    ├── StaleVersion                somebody else changed it in between (exit code 1)
    ├── ForeignAccount              a result or trace names an account that is not the bank's own
    └── ReportInvalid               a draft report does not pass its schema

``str(error)`` is one line: what is wrong (who, what, where), then what to do about it.
"""

__all__ = [
    "AlertsError",
    "EntryError",
    "ForeignAccount",
    "FourEyes",
    "InputError",
    "NotAssignee",
    "NotFound",
    "NotPermitted",
    "NoteRequired",
    "ProfileError",
    "Refused",
    "ReportInvalid",
    "RuleError",
    "SnoozeRefused",
    "StaleVersion",
    "WrongState",
]


class AlertsError(Exception):
    """Base of all errors with a remedy.

    Attributes:
        code: stable name of the kind of error, with a section in ``docs/errors.md``.
        exit_code: what the command line returns for it.
        message: what is wrong.
        remedy: what to do about it.
    """

    code: str = "alerts.error"
    exit_code: int = 1

    def __init__(self, message: str, remedy: str) -> None:
        self.message = _one_line(message)
        self.remedy = _one_line(remedy)
        super().__init__(f"{self.message}. {self.remedy}")

    def __reduce__(self) -> tuple[type["AlertsError"], tuple[str, str]]:
        return type(self), (self.message, self.remedy)


def _one_line(text: str) -> str:
    return " ".join(text.split()).removesuffix(".")


class InputError(AlertsError):
    """Wrong input."""

    code = "alerts.input"
    exit_code = 2


class RuleError(InputError):
    """A rule cannot be what it says."""

    code = "alerts.rule"


class ProfileError(InputError):
    """A country profile is incomplete or wrong."""

    code = "alerts.profile"


class EntryError(InputError):
    """A person's name, a note or a number cannot be accepted."""

    code = "alerts.entry"


class NoteRequired(InputError):
    """A change of a case needs a note."""

    code = "alerts.note-required"


class NotFound(InputError):
    """There is no such alert, case or sample."""

    code = "alerts.not-found"


class Refused(AlertsError):
    """Refused by the bank's rules of work."""

    code = "alerts.refused"
    exit_code = 3


class NotPermitted(Refused):
    """The person's role does not allow the action."""

    code = "alerts.not-permitted"


class WrongState(Refused):
    """The action does not exist in the state of the case."""

    code = "alerts.wrong-state"


class NotAssignee(Refused):
    """Only the person who has the case may do this."""

    code = "alerts.not-assignee"


class FourEyes(Refused):
    """Who worked on a case cannot approve its closing."""

    code = "alerts.four-eyes"


class SnoozeRefused(Refused):
    """A case would sleep too long, or sleeps."""

    code = "alerts.snooze"


class StaleVersion(AlertsError):
    """Somebody else changed the alert or case since it was read."""

    code = "alerts.stale-version"


class ForeignAccount(AlertsError):
    """A result or a trace names an account that is not the bank's own."""

    code = "alerts.foreign-account"


class ReportInvalid(AlertsError):
    """A draft report does not pass its schema."""

    code = "alerts.report-invalid"
