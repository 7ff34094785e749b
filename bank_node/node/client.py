"""Asking the running node of a folder: the other end of ``control``."""

import getpass
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from bank_node.errors import UndercurrentError
from bank_node.node.control_socket import PERSON_HEADER, short_name
from bank_node.node.errors import NotRunningError

__all__ = ["RemoteError", "ask"]

_SECONDS = 600.0


class RemoteError(UndercurrentError):
    """What the running node said no to, with its own code, words and exit code."""

    code = "node.refused"

    def __init__(self, told: Mapping[str, Any]) -> None:
        super().__init__(str(told["message"]), str(told["remedy"]))
        self.code = str(told["code"])
        self.exit_code = int(told["exit_code"])


def ask(
    folder: Path, method: str, path: str, body: Mapping[str, Any] | None = None, **query: Any
) -> Any:
    """Ask the node of a folder and return its answer.

    Raises:
        NotRunningError: no node answers there.
        RemoteError: it says no.
    """
    try:
        with short_name(folder.resolve() / "node.sock") as name:
            transport = httpx.HTTPTransport(uds=name)
            with httpx.Client(
                transport=transport, base_url="http://node", timeout=_SECONDS
            ) as client:
                response = client.request(
                    method,
                    path,
                    json=None if body is None else dict(body),
                    params=query,
                    headers={PERSON_HEADER: _person()},
                )
    except (httpx.TransportError, OSError) as error:
        raise NotRunningError(
            f"no node answers in {folder}", f"Start it: undercurrent node run --node {folder}"
        ) from error
    if response.status_code == httpx.codes.CONFLICT:
        raise RemoteError(response.json())
    if response.is_error:
        raise RemoteError(
            {
                "code": "node.refused",
                "message": f"the node answered {response.status_code}",
                "remedy": "See the node's log",
                "exit_code": 1,
            }
        )
    return response.json()


def _person() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
