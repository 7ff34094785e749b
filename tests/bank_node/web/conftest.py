"""A desk in a browser: an office, its application by ASGI, and served for Chromium."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import uvicorn

from bank_node.operation.serving import address_of, bound
from bank_node.web import web_app
from tests.bank_node.desk_world import PASSWORD, SmallOffice, office_on
from tests.services import postgresql_cluster  # noqa: F401 - a fixture

CHROMIUM = Path("/usr/bin/chromium")
URL = "http://desk"
_TOKEN = re.compile(r'name="csrf" value="([^"]+)"')


def csrf_of(html: str) -> str:
    """Return the token of the forms of a page."""
    found = _TOKEN.search(html)
    assert found is not None, "the page has no form"
    return found[1]


class Visitor(httpx.AsyncClient):
    """A browser without a screen: keeps cookies, and sends forms with the page's token."""

    async def submit(self, path: str, data: dict[str, Any], **more: Any) -> httpx.Response:
        """Send a form with the token of the visitor's session."""
        token = csrf_of((await self.get("/sign-in", follow_redirects=True)).text)
        return await self.post(path, data={"csrf": token} | data, **more)

    async def sign_in(self, name: str, password: str = PASSWORD, **more: str) -> httpx.Response:
        """Sign in."""
        form = {"name": name, "password": password} | more
        return await self.submit("/sign-in", form)


def visitor(office: SmallOffice, **more: Any) -> Visitor:
    """Return a visitor who is not signed in."""
    peer = more.pop("client", ("127.0.0.1", 5000))
    transport = httpx.ASGITransport(web_app(office.office), raise_app_exceptions=False, client=peer)
    return Visitor(transport=transport, base_url=more.pop("base_url", URL), **more)


@pytest.fixture
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmallOffice]:
    """Give an office on SQLite, or on the database that an indirect parameter names."""
    with office_on(request, tmp_path) as office:
        yield office


@pytest_asyncio.fixture
async def visit(made: SmallOffice) -> AsyncIterator[Callable[[str], Any]]:
    """Give a function that signs a person in and returns their :class:`Visitor`."""
    async with AsyncExitStack() as stack:

        async def signed_in(name: str) -> Visitor:
            one = await stack.enter_async_context(visitor(made))
            assert (await one.sign_in(name)).status_code == 303
            return one

        yield signed_in


@asynccontextmanager
async def stranger(office: SmallOffice, **more: Any) -> AsyncIterator[Visitor]:
    """Give a visitor who is not signed in."""
    async with visitor(office, **more) as one:
        yield one


@pytest.fixture
def served(made: SmallOffice) -> Iterator[str]:
    """Serve the application on a free port of loopback; give its address."""
    listener = bound(address_of("127.0.0.1"), 0, "a test", "web")
    config = uvicorn.Config(web_app(made.office), log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Give a running Chromium.

    Playwright keeps an event loop running in the thread while it lasts, in which asynchronous tests
    cannot run; so it ends with the module, and tests with a browser come last in theirs.
    """
    missing = "" if CHROMIUM.exists() else f"{CHROMIUM} is not installed"
    if missing and os.environ.get("UNDERCURRENT_REQUIRE_SERVICES") == "1":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Person:
    """A person at a browser.  ``problems``: what its console reported as an error."""

    def __init__(self, browser: Any, url: str, **settings: Any) -> None:
        self.context = browser.new_context(base_url=url, **settings)
        self.page = self.context.new_page()
        self.problems: list[str] = []
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))

    def _note(self, message: Any) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.problems.append(message.text)

    def sign_in(self, name: str) -> Any:
        """Sign in by keyboard and return the page."""
        self.page.goto("/sign-in")
        # The page puts the cursor into the name a moment after it is loaded, as it does for people.
        self.page.wait_for_function("document.activeElement?.id === 'name'")
        self.page.keyboard.type(name)
        self.page.keyboard.press("Tab")
        self.page.keyboard.type(PASSWORD)
        with self.page.expect_response(lambda answer: answer.request.method == "POST") as waiting:
            self.page.keyboard.press("Enter")
        if waiting.value.status != 303:
            raise AssertionError(f"{waiting.value.status}: {self.page.inner_text('main')}")
        self.page.wait_for_url(lambda url: "/sign-in" not in url)
        return self.page


@pytest.fixture
def at_browser(chromium: Any, served: str) -> Iterator[Callable[..., Person]]:
    """Give a function that sits a person at a browser of their own; settings as Playwright's."""
    people: list[Person] = []

    def sit(name: str | None = None, **settings: Any) -> Person:
        one = Person(chromium, served, **settings)
        people.append(one)
        if name is not None:
            one.sign_in(name)
        return one

    yield sit
    for one in people:
        one.context.close()


def violations(page: Any) -> list[str]:
    """Return what axe-core finds wrong with a page: rule, and where."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{v['id']}: {node['target']}" for v in found for node in v["nodes"]]
