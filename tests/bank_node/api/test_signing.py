"""Who gets in: tokens, lock-out, expiry, and what a trusted proxy says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from alerts import Role
from bank_node.api.errors import BusyError
from bank_node.api.sessions import Gate
from bank_node.people import disable, set_role
from tests.bank_node.api.world import Asking
from tests.bank_node.desk_world import DAY, PASSWORD, SmallOffice, small_office

MINUTE = 60_000_000
ANN = {"name": "ann", "password": PASSWORD}


async def test_a_password_gives_a_token(ask: Asking) -> None:
    """Signing in gives a token that says who one is until one signs out."""
    told = (await ask(None, "POST", "/sign-in", ANN)).json()
    bearer = {"Authorization": f"Bearer {told['token']}"}
    assert (await ask(None, "GET", "/me", headers=bearer)).json()["person"]["name"] == "ann"
    assert (await ask(None, "POST", "/sign-out", headers=bearer)).status_code == 204
    assert (await ask(None, "GET", "/me", headers=bearer)).status_code == 401


async def test_a_refusal_does_not_tell_who_exists(made: SmallOffice, ask: Asking) -> None:
    """Wrong password, unknown name and disabled user get the same answer, byte for byte."""
    with made.records.database.begin() as session:
        disable(session, "ben", at=made.clock())
    answers = [
        await ask(None, "POST", "/sign-in", {"name": name, "password": password})
        for name, password in (
            ("ann", "wrong wrong wrong"), ("nobody", PASSWORD), ("ben", PASSWORD)
        )
    ]  # fmt: skip
    assert {a.status_code for a in answers} == {401}
    assert len({a.content for a in answers}) == 1
    assert PASSWORD not in answers[0].text


async def test_wrong_passwords_lock_for_a_while(made: SmallOffice, ask: Asking) -> None:
    """After five wrong passwords even the right one is refused with 423, until the time is over."""
    for _attempt in range(5):
        await ask(None, "POST", "/sign-in", ANN | {"password": "wrong wrong wrong"})
    locked = await ask(None, "POST", "/sign-in", ANN)
    assert (locked.status_code, locked.json()["code"]) == (423, "people.locked")
    assert (await ask("ann", "GET", "/me")).status_code == 200, "a token that is there goes on"
    made.clock.now += 16 * MINUTE
    assert (await ask(None, "POST", "/sign-in", ANN)).status_code == 200


async def test_a_token_ends_with_its_time(made: SmallOffice, ask: Asking) -> None:
    """A token holds for thirty days and not longer."""
    made.clock.now += 29 * DAY
    assert (await ask("ann", "GET", "/me")).status_code == 200
    made.clock.now += 2 * DAY
    assert (await ask("ann", "GET", "/me")).status_code == 401


async def test_a_role_changes_at_once(made: SmallOffice, ask: Asking) -> None:
    """A token has the role that its person has now; a disabled person's token ends."""
    assert (await ask("ben", "GET", "/audit")).status_code == 403
    with made.records.database.begin() as session:
        set_role(session, "ben", Role.AUDITOR, at=made.clock())
    assert (await ask("ben", "GET", "/audit")).status_code == 200
    with made.records.database.begin() as session:
        disable(session, "ben", at=made.clock())
    assert (await ask("ben", "GET", "/audit")).status_code == 401


async def test_few_sign_in_at_the_same_moment() -> None:
    """Two verify, sixteen wait, and the next is told to come back; then there is place again."""
    gate, inside = Gate(), asyncio.Event()

    async def stay() -> None:
        async with gate:
            await inside.wait()

    visitors = [asyncio.create_task(stay()) for _ in range(18)]
    await asyncio.sleep(0)
    with pytest.raises(BusyError) as caught:
        async with gate:
            pass
    assert (caught.value.status, caught.value.headers) == (429, {"Retry-After": "5"})
    inside.set()
    await asyncio.gather(*visitors)
    async with gate:
        pass


async def test_signing_in_is_on_record_without_secrets(ask: Asking) -> None:
    """The log says who signed in and from where, and holds neither password nor token."""
    told = (await ask(None, "POST", "/sign-in", ANN, peer="10.1.2.3")).json()
    log = await ask("audrey", "GET", "/audit", params={"action": "people.signed-in"})
    assert log.json()["entries"][0]["details"]["from"] == "10.1.2.3"
    whole = await ask("audrey", "GET", "/audit", params={"limit": 500})
    assert told["token"] not in whole.text
    assert PASSWORD not in whole.text


HEADER = "X-Bank-User"
WEB = {
    "proxy_header": HEADER,
    "trusted_proxies": ["10.0.0.1"],
    "behind_proxy": True,
    "origin": "https://desk.bank.example",
}


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[Asking]:
    """Asks an office that believes a proxy."""
    office = small_office(f"sqlite:///{tmp_path / 'node.db'}", tmp_path, settings={"web": WEB})
    yield Asking.at(office)
    office.close()


async def test_a_proxy_is_believed_at_its_address_only(proxied: Asking) -> None:
    """The header counts from the proxy; from anywhere else it is nothing."""
    said = {HEADER: "ann"}
    found = await proxied(None, "GET", "/me", headers=said, peer="10.0.0.1")
    assert (found.json()["person"]["name"], found.json()["expires"]) == ("ann", None)
    for peer in ("127.0.0.1", "10.0.0.2", ""):
        assert (await proxied(None, "GET", "/me", headers=said, peer=peer)).status_code == 401
    forged = said | {"X-Forwarded-For": "10.0.0.1", "Forwarded": "for=10.0.0.1"}
    found = await proxied(None, "GET", "/me", headers=forged, peer="10.0.0.2")
    assert found.status_code == 401


async def test_a_proxy_must_name_one_known_user(proxied: Asking) -> None:
    """Unknown and empty names, two headers, and a wrong token beside a header are refused."""
    for headers in ({HEADER: "nobody"}, {HEADER: ""}, {HEADER: "x" * 65}):
        found = await proxied(None, "GET", "/me", headers=headers, peer="10.0.0.1")
        assert found.status_code == 401
    twice = [(HEADER, "ann"), (HEADER, "sue")]
    transport = httpx.ASGITransport(proxied.app, client=("10.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://desk/api/v1") as client:
        assert (await client.get("/me", headers=twice)).status_code == 401
    both = {HEADER: "sue", "Authorization": "Bearer wrong"}
    assert (await proxied(None, "GET", "/me", headers=both, peer="10.0.0.1")).status_code == 401


async def test_no_other_site_acts_through_the_proxy(proxied: Asking) -> None:
    """A browser that is signed in at the proxy changes nothing for another site's page."""
    said = {HEADER: "sue"}
    for evil in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ):
        found = await proxied(
            None, "POST", "/queue/auto-assign", headers=said | evil, peer="10.0.0.1"
        )
        assert (found.status_code, found.json()["code"]) == (403, "api.cross-site")
    for own in ({}, {"Sec-Fetch-Site": "same-origin", "Origin": WEB["origin"]}):
        found = await proxied(
            None, "POST", "/queue/auto-assign", headers=said | own, peer="10.0.0.1"
        )
        assert found.status_code == 200


async def test_the_proxys_word_on_addresses_goes_on_record(proxied: Asking) -> None:
    """Behind the proxy the log has the visitor's address as the proxy saw it."""
    headers = {"X-Forwarded-For": "203.0.113.9, 198.51.100.7"}
    await proxied(None, "POST", "/sign-in", ANN, headers=headers, peer="10.0.0.1")
    log = await proxied("audrey", "GET", "/audit", params={"action": "people.signed-in"})
    assert log.json()["entries"][0]["details"]["from"] == "198.51.100.7"


async def test_without_the_setting_no_header_counts(ask: Asking) -> None:
    """A node that names no proxy header believes none."""
    for name in ("X-Bank-User", "X-Forwarded-User", "Remote-User"):
        assert (await ask(None, "GET", "/me", headers={name: "sue"})).status_code == 401
