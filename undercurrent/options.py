"""What several commands take: the node, JSON, and parameters as pairs."""

from pathlib import Path
from typing import Annotated, Any

import typer

from bank_node.errors import ParameterError

__all__ = ["JsonOption", "NodeOption", "parse_pairs"]

NodeOption = Annotated[
    Path | None, typer.Option("--node", metavar="DIR", help="The node's folder. [default: node]")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def parse_pairs(pairs: list[str]) -> dict[str, Any]:
    """Return the parameters of ``-p key=value`` options; ``account`` may be given several times."""
    parameters: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise ParameterError(f"-p {pair!r} is not KEY=VALUE", "Write for example -p alpha=0.85")
        if key.strip() == "account":
            parameters.setdefault("account", []).append(value.strip())
            continue
        if key.strip() in parameters:
            raise ParameterError(f"-p {key.strip()} is given twice", "Give it once")
        parameters[key.strip()] = value.strip()
    return parameters
