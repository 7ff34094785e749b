"""Topics: where a member may speak, and about what.

::

    undercurrent/v1/<consortium>/status/<member>          one retained message, and the last will
    undercurrent/v1/<consortium>/run/<member>/<run id>    one retained message while the run is open

The part after the consortium is called the topic's *tail*.  Each member writes below its own id
only; the broker's access rules and the signatures both see to that.
"""

from dataclasses import dataclass
from typing import Literal

from bank_node.coordination.errors import StatementError
from graph_mpc.session import ConfigError
from graph_mpc.session.config import check_name

__all__ = ["ROOT", "Topic", "everything", "own_topic", "parse_topic", "run_tail", "status_tail"]

ROOT = "undercurrent/v1"

TopicKind = Literal["status", "run"]


@dataclass(frozen=True)
class Topic:
    """A topic of ours, taken apart.

    Attributes:
        consortium: name of the consortium.
        kind: what is said there.
        member: id of the member that speaks there.
        run_id: of the run; empty for a status.
    """

    consortium: str
    kind: TopicKind
    member: str
    run_id: str = ""

    @property
    def tail(self) -> str:
        """The part after the consortium."""
        return "/".join(filter(None, (self.kind, self.member, self.run_id)))

    def __str__(self) -> str:
        return f"{ROOT}/{self.consortium}/{self.tail}"


def status_tail(member: str) -> str:
    """Return the tail of a member's status topic."""
    return f"status/{member}"


def run_tail(member: str, run_id: str) -> str:
    """Return the tail of the topic where a member speaks about a run."""
    return f"run/{member}/{run_id}"


def everything(consortium: str) -> str:
    """Return the filter that a node subscribes to."""
    return f"{ROOT}/{consortium}/#"


def parse_topic(text: str) -> Topic | None:
    """Return the parts of a topic, or None if it is none of ours."""
    head, _, rest = text.partition(f"{ROOT}/")
    parts = rest.split("/")
    if head or not all(_is_name(part) for part in parts):
        return None
    match parts:
        case [consortium, "status", member]:
            return Topic(consortium, "status", member)
        case [consortium, "run", member, run_id]:
            return Topic(consortium, "run", member, run_id)
    return None


def own_topic(consortium: str, member: str, tail: str) -> Topic:
    """Return the topic of a tail below a member's id.

    Raises:
        StatementError: it is no such tail.
    """
    topic = parse_topic(f"{ROOT}/{consortium}/{tail}")
    if topic is None or topic.member != member:
        raise StatementError(
            f"{member} cannot speak there: the topic is not status/{member} or run/{member}/<run>",
            "Use status_tail or run_tail with the node's own id",
        )
    return topic


def _is_name(text: str) -> bool:
    try:
        check_name("part of a topic", text)
    except ConfigError:
        return False
    return True
