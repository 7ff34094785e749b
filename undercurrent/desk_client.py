"""Asking the desk of a node over its API: on the node's own socket, or at an address.

A token is kept per node or address in ``tokens.json`` in the user's configuration folder (0600), or
comes from ``UNDERCURRENT_TOKEN``, which wins.
"""

import ipaddress
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from bank_node.errors import ParameterError
from bank_node.files import make_private_folder, replace_file
from bank_node.node.client import RemoteError
from bank_node.node.config import default_folder
from bank_node.node.control_socket import short_name
from bank_node.node.errors import NotRunningError

__all__ = ["DeskPlace", "forget_token", "keep_token"]

_SECONDS = 120.0
_TOKEN = "UNDERCURRENT_TOKEN"  # noqa: S105 - the name of a variable
_EXIT_CODES = {401: 3, 403: 3, 404: 2, 405: 2, 409: 3, 413: 2, 415: 2, 422: 2, 423: 3, 502: 4}
_STALE = {"alerts.stale-version", "alerts.foreign-account"}
_SIGN_IN = "sign in: undercurrent alerts sign-in NAME"


@dataclass(frozen=True)
class DeskPlace:
    """Where a desk is.

    Attributes:
        folder: the node's folder, whose socket is asked. url: address of the desk; empty: none.
        token: of who asks; empty: the one that is kept.
    """

    folder: Path
    url: str = ""
    token: str = field(default="", repr=False)

    @classmethod
    def of(cls, node: Path | None, url: str) -> "DeskPlace":
        """Return the place that options name.

        Raises:
            ParameterError: the address is none, or would carry the token in clear over a network.
        """
        if url:
            _check_url(url)
        return cls((node or default_folder()).resolve(), url.rstrip("/"))

    @property
    def key(self) -> str:
        """Name under which the token is kept."""
        return self.url or str(self.folder)

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> Any:
        """Ask and return the JSON answer; None where there is none.

        Raises:
            NotRunningError: nobody answers there.
            RemoteError: the desk says no, with its own words; or something else answers.
        """
        response = self.fetch(method, path, body, query)
        try:
            return response.json() if response.content else None
        except ValueError:  # the sign-in page of a proxy, say
            raise RemoteError(_foreign(response) | {"exit_code": 1}) from None

    def fetch(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> httpx.Response:
        """Ask and return the whole answer."""
        token = self.token or os.environ.get(_TOKEN) or _kept().get(self.key, "")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        asked = {k: v for k, v in (query or {}).items() if v is not None}
        try:
            with self._client() as client:
                response = client.request(
                    method,
                    f"/api/v1{path}",
                    json=None if body is None else dict(body),
                    params=asked,
                    headers=headers,
                )
        except (httpx.HTTPError, OSError) as error:
            raise self._nobody() from error
        if response.status_code >= httpx.codes.MULTIPLE_CHOICES:
            raise _refused(response)
        return response

    @contextmanager
    def _client(self) -> Iterator[httpx.Client]:
        if self.url:
            with httpx.Client(base_url=self.url, timeout=_SECONDS) as client:
                yield client
            return
        with short_name(self.folder / "node.sock") as name:
            transport = httpx.HTTPTransport(uds=name)
            base = "http://node"
            with httpx.Client(transport=transport, base_url=base, timeout=_SECONDS) as client:
                yield client

    def _nobody(self) -> NotRunningError:
        if self.url:
            return NotRunningError(f"no desk answers at {self.url}", "Check the address and TLS")
        return NotRunningError(
            f"no node answers in {self.folder}",
            f"Start it: undercurrent node run --node {self.folder}",
        )


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    remedy = "Write https://desk.bank.example, or http://127.0.0.1:9481 on this machine"
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise ParameterError("the address of the desk is none", remedy)
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise ParameterError("http would carry the token in clear over the network", remedy)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refused(response: httpx.Response) -> RemoteError:
    """Return what the desk said, or that something else answered."""
    status = response.status_code
    try:
        told = {k: str(response.json()[k]) for k in ("code", "message", "remedy")}
    except (ValueError, KeyError, TypeError):
        told = _foreign(response)
    if told["code"] == "api.not-signed-in":
        told["remedy"] = _SIGN_IN
    exit_code = 1 if told["code"] in _STALE else _EXIT_CODES.get(status, 1)
    return RemoteError(told | {"exit_code": exit_code})


def _foreign(response: httpx.Response) -> dict[str, str]:
    return {
        "code": "node.refused",
        "message": f"the answer was {response.status_code}, in no form of the desk",
        "remedy": "Check --url; the node's log may say more",
    }


def keep_token(place: DeskPlace, token: str) -> None:
    """Keep a token for a place, in a file that only this user can read."""
    path = _path()
    make_private_folder(path.parent)
    _write(path, _kept() | {place.key: token})


def forget_token(place: DeskPlace) -> bool:
    """Forget the token of a place; say whether there was one."""
    kept = _kept()
    if place.key not in kept:
        return False
    _write(_path(), {key: token for key, token in kept.items() if key != place.key})
    return True


def _write(path: Path, tokens: Mapping[str, str]) -> None:
    replace_file(path, json.dumps(dict(tokens), indent=1, sort_keys=True).encode())


def _path() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "undercurrent" / "tokens.json"


def _kept() -> dict[str, str]:
    try:
        found = json.loads(_path().read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ParameterError(f"{_path()} is damaged", "Remove it and sign in again")
    return {str(key): str(token) for key, token in found.items()}
