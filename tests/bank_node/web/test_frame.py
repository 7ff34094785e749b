"""What protects every page: sign-in, sessions, forms of this application only, headers, errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from starlette.routing import Route

from bank_node.web import web_routes
from bank_node.web.visit import local_path
from tests.bank_node.desk_world import BANK, PASSWORD, SUE, SmallOffice, small_office
from tests.bank_node.web.conftest import URL, csrf_of, stranger

COOKIE = f"undercurrent-{BANK}"
NOTE = {"note": "looked at it"}


def cookie_line(response: Any, name: str) -> str:
    """Return the header that sets a cookie."""
    found = [c for c in response.headers.get_list("set-cookie") if c.startswith(f"{name}=")]
    assert found, f"no cookie {name}"
    return str(found[0])


# Sign-in and sessions


async def test_pages_want_a_person_and_come_back_to_the_page_asked_for(made: SmallOffice) -> None:
    """Who is not signed in is sent to the sign-in page, and after it to where they wanted."""
    async with stranger(made) as one:
        sent = await one.get("/alerts?status=open")
        assert (sent.status_code, sent.headers["location"]) == (
            303,
            "/sign-in?next=/alerts%3Fstatus%3Dopen",
        )
        done = await one.sign_in("ann", next="/alerts?status=open")
        assert done.headers["location"] == "/alerts?status=open"


def test_every_route_is_guarded(made: SmallOffice) -> None:
    """No route but the static files is without the check of session, role and form."""
    routes = [r for r in web_routes(made.office) if r.path != "/static/{name:path}"]
    assert len(routes) > 20
    assert [r.path for r in routes if not getattr(r.endpoint, "guarded", False)] == []


async def test_every_page_but_the_sign_in_refuses_a_stranger(made: SmallOffice) -> None:
    """Each GET route sends a stranger to the sign-in page and shows nothing."""
    async with stranger(made) as one:
        for route in web_routes(made.office):
            public = route.path in ("/sign-in", "/static/{name:path}")
            if public or "GET" not in (route.methods or ()):
                continue
            path = re.sub(r"\{[^}]*\}", "1", route.path)
            answer = await one.get(path)
            assert answer.status_code == 303, path
            assert answer.headers["location"].startswith("/sign-in"), path


async def test_a_wrong_password_and_an_unknown_name_are_told_the_same(made: SmallOffice) -> None:
    """The page after a wrong password is that after an unknown name, and gives no session."""
    async with stranger(made) as one:
        wrong = await one.sign_in("ann", "not the password")
        unknown = await one.sign_in("nobody", "not the password")
        assert wrong.status_code == unknown.status_code == 403
        strip = [re.sub(r'(value|content)="[^"]*"', "", r.text) for r in (wrong, unknown)]
        assert strip[0] == strip[1]
        assert COOKIE not in one.cookies
        assert (await one.get("/alerts")).status_code == 303


async def test_a_sign_in_form_that_does_not_fit_is_given_anew(made: SmallOffice) -> None:
    """Two tabs opened at once have one cookie: the first tab's form is shown again, and works."""
    async with stranger(made) as one:
        first = csrf_of((await one.get("/sign-in")).text)
        one.cookies.clear()
        await one.get("/sign-in")
        form = {"name": "ann", "password": PASSWORD, "csrf": first}
        again = await one.post("/sign-in", data=form)
        assert again.status_code == 403
        assert COOKIE not in one.cookies
        assert 'value="ann"' in again.text
        fits = form | {"csrf": csrf_of(again.text.partition("<main")[2])}
        assert (await one.post("/sign-in", data=fits)).status_code == 303


async def test_too_many_wrong_passwords_lock_out(made: SmallOffice) -> None:
    """After five wrong passwords the right one does not help, and the page says why."""
    async with stranger(made) as one:
        for _ in range(5):
            await one.sign_in("ann", "not the password")
        answer = await one.sign_in("ann")
        assert answer.status_code == 403
        assert "Too many wrong passwords" in answer.text


async def test_sign_in_gives_a_new_token_and_ends_the_old_session(made: SmallOffice) -> None:
    """A token that was there before a sign-in, whoever's, is worth nothing after it."""
    async with stranger(made) as one:
        await one.sign_in("ann")
        first = one.cookies[COOKIE]
        token = csrf_of((await one.get("/account")).text)
        await one.post("/sign-in", data={"name": "ben", "password": PASSWORD, "csrf": token})
        second = one.cookies[COOKIE]
        assert first != second
        assert made.desk.standing(first) is None
        assert made.desk.standing(second).person.name == "ben"


async def test_a_token_that_somebody_else_chose_is_not_taken_over(made: SmallOffice) -> None:
    """A cookie planted before the sign-in is replaced, not made a session (fixation)."""
    async with stranger(made) as one:
        one.cookies.set(COOKIE, "planted-by-another-site", domain="desk.local")
        answer = await one.sign_in("ann")
        given = re.match(rf"{COOKIE}=([^;]+)", cookie_line(answer, COOKIE))
        assert given is not None
        assert given[1] != "planted-by-another-site"
    assert made.desk.standing("planted-by-another-site") is None


async def test_signing_out_ends_the_session(made: SmallOffice, visit: Callable[..., Any]) -> None:
    """After signing out the old cookie opens nothing."""
    one = await visit("ann")
    token = one.cookies[COOKIE]
    assert (await one.submit("/sign-out", {})).headers["location"] == "/sign-in"
    assert made.desk.standing(token) is None
    one.cookies.set(COOKIE, token)
    assert (await one.get("/alerts")).status_code == 303


async def test_an_idle_session_ends(made: SmallOffice, visit: Callable[..., Any]) -> None:
    """After half an hour without a request the next one wants a sign-in."""
    one = await visit("ann")
    assert (await one.get("/alerts")).status_code == 200
    made.clock.now += 31 * 60 * 1_000_000
    assert (await one.get("/alerts")).status_code == 303


async def test_a_programs_token_is_no_session_of_a_browser(made: SmallOffice) -> None:
    """A bearer token of the API, put into the cookie, opens no page."""
    done = made.desk.sign_in("ann", PASSWORD, kind="token", label="script")
    async with stranger(made, cookies={COOKIE: done.token}) as one:
        assert (await one.get("/alerts")).status_code == 303


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(made: SmallOffice) -> None:
    """The session's cookie is HttpOnly and SameSite=Strict, for this host and all paths."""
    async with stranger(made) as one:
        line = cookie_line(await one.sign_in("ann"), COOKIE).lower()
        assert "httponly" in line
        assert "samesite=strict" in line
        assert "path=/" in line
        assert "domain" not in line


async def test_over_https_the_cookie_is_bound_to_host_and_https(tmp_path: Any) -> None:
    """Behind a proxy that speaks HTTPS the cookie is Secure and carries the __Host- prefix."""
    made = small_office(
        f"sqlite:///{tmp_path / 'n.db'}", tmp_path, settings={"web": {"behind_proxy": True}}
    )
    async with stranger(made, base_url="https://desk") as one:
        answer = await one.sign_in("ann")
        assert "secure" in cookie_line(answer, f"__Host-{COOKIE}").lower()
        assert answer.headers["strict-transport-security"].startswith("max-age=")
        assert (await one.get("/alerts")).status_code == 200
    made.close()


@pytest.mark.parametrize(
    "there",
    ["//evil.example", "https://evil.example", "/\\evil.example", "/a\nb", "javascript:x", ""],
)
def test_no_address_leads_away(there: str) -> None:
    """What is not a path of this application becomes the home page."""
    assert local_path(there) == "/"


async def test_sign_in_leads_nowhere_else(made: SmallOffice) -> None:
    """An address of another site as the next page is ignored."""
    async with stranger(made) as one:
        done = await one.sign_in("ann", next="//evil.example/x")
        assert done.headers["location"] == "/"


# A proxy that signs people in


async def test_a_trusted_proxys_name_is_believed_and_nobody_elses(tmp_path: Any) -> None:
    """The header counts from the proxy's address only, and unknown names open nothing."""
    web = {"proxy_header": "x-user", "trusted_proxies": ["10.0.0.1"]}
    made = small_office(f"sqlite:///{tmp_path / 'n.db'}", tmp_path, settings={"web": web})
    header = {"x-user": "sue"}
    async with stranger(made, client=("10.0.0.1", 1), headers=header) as one:
        answer = await one.get("/cases")
        assert answer.status_code == 200
        assert 'action="/sign-out"' not in answer.text
        token = csrf_of(answer.text)
        form = {"csrf": token, "name": "mine", "query": ""}
        assert (await one.post("/alerts/views", data=form)).status_code == 303
        assert (await one.post("/alerts/views", data=form | {"csrf": "0" * 64})).status_code == 403
    async with stranger(made, client=("10.0.0.9", 1), headers=header) as one:
        assert (await one.get("/cases")).status_code == 303
    async with stranger(made, client=("10.0.0.1", 1), headers={"x-user": "nobody"}) as one:
        assert (await one.get("/cases")).status_code == 303
    made.close()


async def test_the_log_says_from_where_somebody_signed_in(tmp_path: Any) -> None:
    """Behind a trusted proxy it is the address that the proxy saw, not one that a visitor made."""
    web = {"behind_proxy": True, "trusted_proxies": ["10.0.0.1"]}
    made = small_office(f"sqlite:///{tmp_path / 'n.db'}", tmp_path, settings={"web": web})
    told = {"x-forwarded-for": "6.6.6.6, 192.0.2.7"}
    for peer, source in (("10.0.0.1", "192.0.2.7"), ("10.0.0.9", "10.0.0.9")):
        async with stranger(made, client=(peer, 1), headers=told, base_url="https://desk") as one:
            await one.sign_in("ann")
        line = next(e for e in made.desk.audit(SUE) if e.action == "people.signed-in")
        assert line.details["from"] == source
    made.close()


# Forms


def posted_routes(made: SmallOffice) -> list[Route]:
    """Return all routes that change something."""
    return [r for r in web_routes(made.office) if "POST" in (r.methods or ())]


@pytest.mark.parametrize("token", [None, "", "0" * 64, "é"])
async def test_no_form_is_taken_without_the_sessions_token(
    made: SmallOffice, visit: Callable[..., Any], token: str | None
) -> None:
    """Each POST route refuses a form without the token, or with a wrong one, and does nothing."""
    one = await visit("sue")
    before = len(made.desk.audit(SUE))
    for route in posted_routes(made):
        path = re.sub(r"\{[^}]*\}", "1", route.path)
        data = NOTE | ({} if token is None else {"csrf": token})
        answer = await one.post(path, data=data)
        assert answer.status_code == 403, path
        assert "not accepted" in answer.text
    assert len(made.desk.audit(SUE)) == before + 1  # the reading before


async def test_another_sessions_token_is_no_token(visit: Callable[..., Any]) -> None:
    """A token that belongs to another person's session is refused."""
    ann, ben = await visit("ann"), await visit("ben")
    stolen = csrf_of((await ben.get("/alerts")).text)
    answer = await ann.post("/alerts/views", data={"csrf": stolen, "name": "x", "query": ""})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://desk.evil.example"},
        {"origin": "http://[broken"},
    ],
)
async def test_a_form_of_another_site_is_refused_even_with_the_token(
    visit: Callable[..., Any], headers: dict[str, str]
) -> None:
    """What a browser says of a form's origin decides, whatever token comes with it."""
    one = await visit("ann")
    form = {"name": "mine", "query": ""}
    assert (await one.submit("/alerts/views", form, headers=headers)).status_code == 403
    own = {"sec-fetch-site": "same-origin", "origin": URL}
    assert (await one.submit("/alerts/views", form, headers=own)).status_code == 303


async def test_the_configured_origin_is_the_only_one(tmp_path: Any) -> None:
    """With an origin in node.toml the Host header does not decide any more."""
    web = {"origin": "https://desk.bank.example"}
    made = small_office(f"sqlite:///{tmp_path / 'n.db'}", tmp_path, settings={"web": web})
    form = {"name": "ann", "password": PASSWORD}
    async with stranger(made) as one:
        host = {"origin": URL}
        assert (await one.submit("/sign-in", form, headers=host)).status_code == 403
        right = {"origin": "https://desk.bank.example"}
        assert (await one.submit("/sign-in", form, headers=right)).status_code == 303
    made.close()


async def test_the_header_of_htmx_counts_as_the_token(visit: Callable[..., Any]) -> None:
    """A form that htmx sends carries the token in a header."""
    one = await visit("ann")
    token = csrf_of((await one.get("/alerts")).text)
    headers = {"x-csrf-token": token, "hx-request": "true"}
    answer = await one.post("/alerts/views", data={"name": "a", "query": ""}, headers=headers)
    assert (answer.status_code, answer.headers["hx-redirect"]) == (204, "/alerts?done=view")


async def test_a_huge_form_is_refused(visit: Callable[..., Any]) -> None:
    """More than one MiB is not read, and the answer is protected like any other."""
    one = await visit("ann")
    answer = await one.submit("/rules/test", {"text": "x" * 2_000_000})
    assert answer.status_code == 413
    assert "default-src 'none'" in answer.headers["content-security-policy"]


# Headers


async def test_every_answer_carries_the_headers(
    made: SmallOffice, visit: Callable[..., Any]
) -> None:
    """Pages, errors, redirects and exports cannot be framed, sniffed, cached or scripted."""
    one = await visit("sue")
    paths = ("/", "/alerts", "/cases/1", "/nope", "/cases/1/export/html", "/sign-in", "/cases/999")
    for path in paths:
        headers = (await one.get(path)).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"


async def test_pages_have_no_inline_script_or_style(visit: Callable[..., Any]) -> None:
    """No script element with text, no style, no handler in an attribute, no foreign address."""
    one = await visit("sue")
    for path in ("/", "/alerts", "/alerts/1", "/cases", "/cases/1", "/account?id=A001", "/rules"):
        html = (await one.get(path)).text
        assert re.findall(r"<script(?![^>]*\ssrc=\"/static/)", html) == []
        assert re.findall(r"<style|\sstyle=|\son[a-z]+=|javascript:", html) == []
        assert re.findall(r"(?:src|href|action)=\"(?!/|#)", html) == []


async def test_static_files_are_kept_under_names_of_their_content(
    visit: Callable[..., Any],
) -> None:
    """A file is served under its name with a hash for a year, and under no other name."""
    one = await visit("ann")
    html = (await one.get("/alerts")).text
    names = set(re.findall(r'"(/static/[^"]+)"', html))
    assert len(names) >= 4
    for name in names:
        answer = await one.get(name)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    for name in ("app.css", "../frame.py", "%2e%2e/frame.py", "vendor/htmx.min.js", "x"):
        assert (await one.get(f"/static/{name}")).status_code == 404


# Errors


async def test_what_was_changed_in_between_is_told_with_the_way_back(
    visit: Callable[..., Any],
) -> None:
    """A stale version is a page 409 that keeps the note and leads to how it stands now."""
    one = await visit("ann")
    form = {"version": "0", "action": "take", "note": "my careful words"}
    back = {"referer": f"{URL}/cases/1"}
    answer = await one.submit("/cases/1/act", form, headers=back)
    assert answer.status_code == 409
    assert "alerts.stale-version" in answer.text
    assert "my careful words" in answer.text
    assert 'href="/cases/1"' in answer.text


async def test_htmx_gets_a_message_for_the_page_it_stands_on(visit: Callable[..., Any]) -> None:
    """A refusal to htmx is no page but a message, put into the place for messages."""
    one = await visit("ann")
    form = {"version": "0", "action": "take", "note": "words"}
    answer = await one.submit("/cases/1/act", form, headers={"hx-request": "true"})
    assert answer.status_code == 409
    assert answer.headers["hx-retarget"] == "#notice"
    assert "<html" not in answer.text


async def test_a_session_that_has_ended_sends_htmx_to_the_sign_in(made: SmallOffice) -> None:
    """A part of a page is not answered with the sign-in page: the whole page goes there."""
    async with stranger(made) as one:
        back = {"hx-request": "true", "referer": f"{URL}/cases"}
        answer = await one.get("/alerts", headers=back)
        assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/sign-in?next=/cases")


async def test_the_way_back_leads_to_this_application_only(visit: Callable[..., Any]) -> None:
    """A Referer of another site becomes no link."""
    one = await visit("ann")
    answer = await one.get("/nope", headers={"referer": "https://evil.example/x"})
    assert answer.status_code == 404
    assert "evil.example" not in answer.text


async def test_what_nobody_foresaw_tells_nothing(
    made: SmallOffice, visit: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception becomes a page 500 in the house look, with headers and without its words."""
    one = await visit("ann")

    def broken(*_args: Any, **_more: Any) -> None:
        raise ValueError("secret A001")

    monkeypatch.setattr(type(made.desk), "alerts", broken)
    answer = await one.get("/alerts")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "A001" not in answer.text
    assert 'class="top"' in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_a_database_that_is_away_is_a_page_too(
    made: SmallOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If even the session cannot be looked up, the answer is a protected page 500."""

    def broken(*_args: Any, **_more: Any) -> None:
        raise OSError("disk")

    monkeypatch.setattr(type(made.desk), "standing", broken)
    async with stranger(made, cookies={COOKIE: "x"}) as one:
        answer = await one.get("/alerts")
    assert answer.status_code == 500
    assert "disk" not in answer.text
    assert answer.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize(
    "path",
    [
        "/alerts?after=999999999999999999999",
        "/alerts?after=-1",
        "/alerts?account=%00",
        "/alerts?rule=%1b[31m",
        "/account?id=a%00b",
        "/cases?assignee=%07",
        "/cases/1/export/goaml.xml?country=NLX",
    ],
)
async def test_senseless_addresses_are_refused_politely(
    visit: Callable[..., Any], path: str
) -> None:
    """Numbers out of range and control characters are the visitor's error, not the program's."""
    one = await visit("ann")
    assert (await one.get(path)).status_code == 400


@pytest.mark.parametrize("path", ["/cases/99999", "/alerts/99999", "/account?id=NOPE", "/nope"])
async def test_what_is_not_there_is_not_found(visit: Callable[..., Any], path: str) -> None:
    """Numbers and accounts that do not exist are 404."""
    one = await visit("ann")
    assert (await one.get(path)).status_code == 404


# Language and look


async def test_a_person_chooses_language_and_look(visit: Callable[..., Any]) -> None:
    """Both are kept in cookies that no script reads, and change the next page."""
    one = await visit("ann")
    back = {"referer": f"{URL}/cases"}
    done = await one.submit("/preferences", {"language": "nl", "theme": "dark"}, headers=back)
    assert done.headers["location"] == "/cases"
    html = (await one.get("/cases")).text
    assert '<html lang="nl" data-theme="dark">' in html
    assert "Zaken" in html
    await one.submit("/preferences", {"language": "xx", "theme": "../x"})
    assert '<html lang="nl" data-theme="dark">' in (await one.get("/cases")).text


async def test_the_node_sets_the_first_language(tmp_path: Any) -> None:
    """A node set to Dutch greets in Dutch, with Dutch amounts."""
    web = {"language": "nl", "locale": "nl_BE"}
    made = small_office(f"sqlite:///{tmp_path / 'n.db'}", tmp_path, settings={"web": web})
    async with stranger(made) as one:
        assert "Aanmelden" in (await one.get("/sign-in")).text
        await one.sign_in("ann")
        assert "1.053,00" in (await one.get("/alerts/1")).text
    made.close()
