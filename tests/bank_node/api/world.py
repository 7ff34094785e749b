"""Asking the API in the process, as a person or as nobody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.types import ASGIApp

from bank_node.api import api_app
from bank_node.api.server import Split
from tests.bank_node.desk_world import PEOPLE, SmallOffice

BY_NAME = {person.name: person for person in PEOPLE}


def served(made: SmallOffice) -> ASGIApp:
    """Return the API where the server has it."""
    return Split("/api", api_app(made.office), Starlette())


@dataclass
class Asking:
    """Asks the API of an office; each answer is checked for what every answer must have."""

    made: SmallOffice
    app: Any
    tokens: dict[str, str]

    @classmethod
    def at(cls, made: SmallOffice) -> Asking:
        """Return one with a token for everybody."""
        return cls(made, served(made), {p.name: made.token(p) for p in PEOPLE})

    async def __call__(
        self,
        who: str | None,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        peer: str = "127.0.0.1",
        **more: Any,
    ) -> httpx.Response:
        """Ask as a person, or as nobody."""
        sent = {"Authorization": f"Bearer {self.tokens[who]}"} if who else {}
        transport = httpx.ASGITransport(self.app, client=(peer, 4711))
        async with httpx.AsyncClient(transport=transport, base_url="http://desk/api/v1") as client:
            found = await client.request(
                method, path, json=body, headers=sent | dict(headers or {}), **more
            )
        assert found.headers["cache-control"] == "no-store"
        assert found.headers["x-content-type-options"] == "nosniff"
        assert found.headers["x-frame-options"] == "DENY"
        assert "set-cookie" not in found.headers
        if found.is_error:
            assert set(found.json()) == {"code", "message", "remedy"}
        return found

    async def act(
        self, who: str, case: int, action: str, note: str = "because", **more: Any
    ) -> httpx.Response:
        """Do one thing with a case as it stands now."""
        version = more.pop("version", None)
        if version is None:
            standing = await self(who, "GET", f"/cases/{case}/standing")
            version = standing.json()["version"]
        body = {"action": action, "version": version, "note": note} | more
        return await self(who, "POST", f"/cases/{case}/actions", body)
