"""Serving people: over TLS or on loopback only, API and pages at one address."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse

import bank_node.web
from bank_node.api.server import serve_people
from bank_node.desk import Office
from bank_node.identity import Authority
from bank_node.node.errors import ConfigurationError
from bank_node.operation.errors import ListenError
from tests.bank_node.desk_world import ANN, SmallOffice


@pytest.fixture(autouse=True)
def pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins for the pages, which have tests of their own."""
    monkeypatch.setattr(
        bank_node.web, "web_app", lambda *_given: PlainTextResponse("a page"), raising=False
    )


def office_with(made: SmallOffice, **web: Any) -> Office:
    """Return the office with other settings of ``[web]``."""
    config = made.office.config
    section = config.web.model_copy(update={"port": 0} | web)
    changed = config.model_copy(update={"web": section})
    return Office(made.desk, made.node, changed, made.clock)


async def test_api_and_pages_are_served_side_by_side(made: SmallOffice) -> None:
    """What is under /api is the API, and everything else is a page."""
    token = made.token(ANN)
    async with (
        serve_people(office_with(made)) as (host, port),
        httpx.AsyncClient(base_url=f"http://{host}:{port}") as client,
    ):
        assert (await client.get("/")).text == "a page"
        assert (await client.get("/apis")).text == "a page"
        assert (await client.get("/api")).json()["code"] == "api.unknown-address"
        headers = {"Authorization": f"Bearer {token}"}
        found = await client.get("/api/v1/me", headers=headers)
        assert found.json()["person"]["name"] == "ann"
        assert "server" not in found.headers
        broken = await client.get("/api/v1/runs/a%0Ab", headers=headers)
        assert broken.json()["code"] == "api.invalid"


async def test_the_network_needs_tls(made: SmallOffice) -> None:
    """An address that is not loopback is refused without a certificate or a proxy."""
    for host in ("0.0.0.0", "::", "192.0.2.1"):
        with pytest.raises(ConfigurationError, match="without TLS"):
            async with serve_people(office_with(made, host=host)):
                pass
    async with serve_people(office_with(made, host="0.0.0.0", behind_proxy=True)) as (host, port):
        assert port > 0
    with pytest.raises(ConfigurationError, match="no address"):
        async with serve_people(office_with(made, host="desk.bank.example")):
            pass


async def test_a_certificate_is_served(made: SmallOffice, tmp_path: Path) -> None:
    """With certificate and key the desk speaks TLS; plain requests get nothing."""
    authority = Authority.create(tmp_path / "authority", "testers")
    paths = authority.issue_server(["127.0.0.1", "localhost"], tmp_path)
    web = {"certificate": paths.certificate, "private_key": paths.private_key}
    (tmp_path / "trusted.crt").write_text(authority.certificate_pem)
    async with serve_people(office_with(made, **web)) as (host, port):
        trusted = ssl.create_default_context(cafile=str(tmp_path / "trusted.crt"))
        async with httpx.AsyncClient(verify=trusted) as client:
            found = await client.get(f"https://{host}:{port}/api/v1/me")
            assert found.status_code == 401
        async with httpx.AsyncClient() as client:
            with pytest.raises(httpx.HTTPError):
                await client.get(f"http://{host}:{port}/api/v1/me")


async def test_a_useless_certificate_is_said(made: SmallOffice, tmp_path: Path) -> None:
    """A missing, wrong or lonely file is refused in one line that does not quote it."""
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("SECRET")
    for web in (
        {"certificate": wrong, "private_key": wrong},
        {"certificate": tmp_path / "none", "private_key": tmp_path / "none"},
        {"certificate": wrong},
    ):
        with pytest.raises(ConfigurationError) as caught:
            async with serve_people(office_with(made, **web)):
                pass
        assert "SECRET" not in str(caught.value)


async def test_a_port_that_is_taken_is_said(made: SmallOffice) -> None:
    """Two desks on one port: the second says which setting to change."""
    async with serve_people(office_with(made)) as (_host, port):
        with pytest.raises(ListenError, match=r"\[web\] port"):
            async with serve_people(office_with(made, port=port)):
                pass
