"""Errors of coordination over MQTT.

::

    UndercurrentError
    └── CoordinationError           base
        ├── BrokerConfigError       the broker's address or credentials make no sense (exit code 2)
        ├── BrokerStartError        the embedded broker cannot start here (exit code 2)
        ├── StatementError          what this node wants to publish cannot be (exit code 1)
        └── MessageRefused          a message of others that is not accepted (exit code 4)
            ├── MalformedMessage    not what this version writes
            ├── OversizedMessage    larger than the limit
            ├── StrangerMessage     its sender is no member, or not the one named in its topic
            ├── ForgedMessage       not signed by the member named in its topic
            ├── MisplacedMessage    signed for another topic
            ├── ExpiredMessage      its time is over
            └── ClockError          the clocks of sender and receiver differ too much

A refused message is told by its reason, its sender (only if that is a member) and the kind of its
topic.  Nothing of what it holds is in the error: it may hold anything.
"""

from bank_node.errors import UndercurrentError

__all__ = [
    "BrokerConfigError",
    "BrokerStartError",
    "ClockError",
    "CoordinationError",
    "ExpiredMessage",
    "ForgedMessage",
    "MalformedMessage",
    "MessageRefused",
    "MisplacedMessage",
    "OversizedMessage",
    "StatementError",
    "StrangerMessage",
]


class CoordinationError(UndercurrentError):
    """Base of the errors of this package."""

    code = "coordination.error"


class BrokerConfigError(CoordinationError):
    """The broker's address or the credentials for it make no sense."""

    code = "coordination.config"
    exit_code = 2


class BrokerStartError(CoordinationError):
    """The embedded broker cannot start here."""

    code = "coordination.broker"
    exit_code = 2


class StatementError(CoordinationError):
    """What this node wants to publish cannot be a message."""

    code = "coordination.statement"


class MessageRefused(CoordinationError):
    """A message that is not accepted.

    Attributes:
        reason: why, in one word.
        sender: id of the member named in its topic; empty if that is no member.
    """

    code = "coordination.refused"
    exit_code = 4
    remedy_text = "See the log of the sender"

    def __init__(self, message: str, sender: str = "") -> None:
        super().__init__(message, self.remedy_text)
        self.sender = sender

    def __reduce__(self) -> tuple[type["MessageRefused"], tuple[str, str]]:
        return type(self), (self.message, self.sender)

    @property
    def reason(self) -> str:
        """Why the message is refused, in one word."""
        return self.code.removeprefix("coordination.")


class MalformedMessage(MessageRefused):
    """The message is not what this version of the program writes."""

    code = "coordination.malformed"
    remedy_text = "Run the same version of Undercurrent at all members"


class OversizedMessage(MessageRefused):
    """The message is larger than the limit."""

    code = "coordination.too-large"


class StrangerMessage(MessageRefused):
    """The sender is no member, or not the member named in the topic."""

    code = "coordination.stranger"
    remedy_text = "Check that all members have installed the same agreement"


class ForgedMessage(MessageRefused):
    """The signature is not that of the member named in the topic."""

    code = "coordination.forged"
    remedy_text = (
        "Check that the sender signs with the key in the agreement; else tell the broker's operator"
    )


class MisplacedMessage(MessageRefused):
    """The message was signed for another topic, or the topic is none of ours."""

    code = "coordination.wrong-topic"
    remedy_text = "Tell the broker's operator: somebody moves messages"


class ExpiredMessage(MessageRefused):
    """The message's time is over."""

    code = "coordination.expired"
    remedy_text = "Nothing needs to be done if the sender is not running"


class ClockError(MessageRefused):
    """The clocks of sender and receiver differ too much."""

    code = "coordination.clock"
    remedy_text = "Set both hosts' clocks by NTP"
