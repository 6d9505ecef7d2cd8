"""The list of conversations, in chromium against real nodes: what is done with them, and that all tabs are in step."""

import asyncio
import json
import re
from contextlib import AsyncExitStack
from typing import Final

import pytest
import redis.asyncio
from playwright.async_api import Browser, BrowserContext, Locator, WebSocketRoute, expect

from app.core.model import Session
from app.state.keys import session_keys
from tests.browser.behind import serving, two
from tests.browser.chromium import Tab, person, tab
from tests.browser.test_connection import REFUSED
from tests.browser.test_page import WIDER
from tests.browser.test_sign_in import invitation
from tests.people import JWT
from tests.servers import Script, Served, becomes, free_port, until
from tests.servers import serving as direct

DAY_MS: Final = 86_400_000
URL: Final = "http://127.0.0.1"  # a cookie is every port's

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def has_said(ada: BrowserContext, node: Served, *titles: str) -> None:
    """Have conversations with these titles, the last the newest; their ids are made of the titles."""
    await ada.request.get(node.http)
    for id, title in zip(ids(list(titles)), titles, strict=True):
        body = {"session_id": id, "message": title}
        assert (await ada.request.post(f"{node.http}/chat", data=body)).ok


def line(here: Tab, title: str) -> Locator:
    """A line of the list."""
    return here.page.locator("#session-list li", has_text=title)


def titles(here: Tab) -> Locator:
    """The titles of all lines."""
    return here.page.locator(".session-title")


def ids(names: list[str]) -> list[str]:
    """The ids of conversations with these titles."""
    return [re.sub(r"[^A-Za-z0-9]", "-", name) for name in names]


async def aged(redis_url: str, node: Served, days: dict[str, int]) -> None:
    """Have these sessions last been written to so many days ago."""
    (user,) = {connection.user for connection in node.site.connections}
    async with redis.asyncio.from_url(redis_url) as client:
        for id, ago in days.items():
            head = session_keys(Session(user, id)).head
            await client.hincrby(head, "ms", -ago * DAY_MS)


async def is_also(ada: BrowserContext, other: BrowserContext) -> None:
    """Have another device be hers, too."""
    await other.add_cookies([{"name": one["name"], "value": one["value"], "url": URL} for one in await ada.cookies()])


async def kept(ada: BrowserContext, node: Served) -> list[str]:
    """The titles that the server still has, latest first."""
    answer = await ada.request.get(f"{node.http}/api/sessions")
    return [one["title"] for one in (await answer.json())["sessions"]]


async def has(ada: BrowserContext, node: Served, titles: list[str]) -> bool:
    """Whether the server has these and no others."""
    return await kept(ada, node) == titles


async def test_what_is_deleted_can_be_taken_back(browser: Browser, redis_url: str, model: Script) -> None:
    """It leaves the list of all tabs at once, and one goes on with a new one; Undo brings it back, and open."""
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        await has_said(ada, node, "First", "Second")
        async with tab(ada, node.http) as other:
            await expect(titles(other)).to_have_text(["Second", "First"])
            await here.page.bring_to_front()
            await here.page.goto(f"{node.http}/#Second")
            await expect(here.turns).to_have_count(2)
            await here.button("Delete").click()
            for either in (here, other):
                await expect(titles(either)).to_have_text(["First"])
            await expect(here.turns).to_have_count(0)
            await expect(here.text).to_be_focused()
            await expect(here.page.locator("#announce")).to_have_text("“Second” is deleted.")
            await here.page.keyboard.press("Tab")
            await expect(here.page.get_by_role("button", name="Undo: keep “Second”")).to_be_focused()
            await here.page.keyboard.press("Enter")
            for either in (here, other):
                await expect(titles(either)).to_have_text(["Second", "First"])
            await expect(here.turns).to_have_count(2)
            await expect(here.page.locator(".toast")).to_have_count(0)
        assert await kept(ada, node) == ["Second", "First"]


async def test_what_is_deleted_goes_when_the_time_is_over(browser: Browser, redis_url: str, model: Script) -> None:
    """Not while somebody looks at it; each by itself; a tab that has it open says so."""
    async with two(redis_url, model) as (a, b), person(browser) as ada:
        await has_said(ada, a, "First", "Second", "Third")
        async with tab(ada, f"{a.http}/#Third") as here, tab(ada, f"{b.http}/#Third") as other:
            await here.page.bring_to_front()
            for title in ("Third", "Second"):
                await here.page.goto(f"{a.http}/#{title}")
                await expect(here.turns).to_have_count(2)
                await here.button("Delete").click()
            await expect(here.page.locator(".toast")).to_have_count(2)
            await here.page.clock.install()
            await here.page.reload()
            await here.page.locator(".toast").first.hover()
            await here.page.clock.fast_forward(20_000)
            await expect(here.page.locator(".toast")).to_have_count(2)
            assert await kept(ada, a) == ["Third", "Second", "First"]
            await expect(other.turns).to_have_count(2)
            await here.page.mouse.move(0, 0)
            await here.page.clock.fast_forward(9_000)
            await expect(here.page.locator(".toast")).to_have_count(0)
            await expect(other.page.locator("#empty")).to_have_text("This conversation was deleted.")
            for either in (here, other):
                await expect(titles(either)).to_have_text(["First"])
            assert await kept(ada, b) == ["First"]


async def test_what_waits_to_be_deleted_outlives_its_tab(browser: Browser, redis_url: str, model: Script) -> None:
    """The next page does it, if the time is over by then; without a connection it is done when there is one."""
    port = free_port()
    async with AsyncExitStack() as gone, person(browser) as ada:
        node = await gone.enter_async_context(direct(redis_url, model, port=port))
        await has_said(ada, node, "First", "Second", "Third")
        async with tab(ada, f"{node.http}/#First") as here:
            await here.button("Delete").click()
            await expect(titles(here)).to_have_text(["Third", "Second"])
        assert await kept(ada, node) == ["Third", "Second", "First"]
        async with tab(ada, "about:blank", excused=REFUSED) as here:
            await here.page.clock.install()
            await here.page.goto(f"{node.http}/#Second")
            await expect(titles(here)).to_have_text(["Third", "Second"])
            await here.page.clock.fast_forward(12_000)
            await becomes(lambda: has(ada, node, ["Third", "Second"]))
            await expect(here.turns).to_have_count(2)
            await gone.aclose()
            await here.button("Delete").click()
            await here.page.clock.fast_forward(60_000)
            await expect(titles(here)).to_have_text(["Third"])
            async with direct(redis_url, model, port=port) as again:
                await here.page.clock.fast_forward(20_000)
                await becomes(lambda: has(ada, again, ["Third"]))
                await expect(titles(here)).to_have_text(["Third"])


async def test_who_signs_out_leaves_nothing_that_waits(browser: Browser, redis_url: str, model: Script) -> None:
    """What was to be deleted is, before one is out; and this device keeps nothing of it."""
    async with (
        serving(redis_url, model, **JWT) as node,
        person(browser) as ada,
        tab(ada, await invitation(node)) as here,
    ):
        await here.button("Sign in").click()
        await expect(here.status).to_have_text("connected")
        await here.say("A secret.")
        await expect(here.answers).to_have_attribute("data-state", "done")
        await expect(titles(here)).to_have_text(["A secret."])
        (user,) = {connection.user for connection in node.site.connections}
        await here.button("Delete").click()
        await expect(titles(here)).to_have_count(0)
        assert len((await node.node.state.users.sessions(user, query=None, before=None, limit=1))[0]) == 1
        await here.button("Sign out").click()
        await here.page.wait_for_url(f"{node.http}/sign-in")
        assert await node.node.state.users.sessions(user, query=None, before=None, limit=1) == ([], False)
        assert await here.page.evaluate("JSON.stringify([localStorage, sessionStorage])") == "[{},{}]"


async def test_a_few_letters_find_a_conversation(browser: Browser, redis_url: str, model: Script) -> None:
    """By keyboard alone: at once among those that are loaded, accents or not, then among all; Esc leads back."""
    older = [f"Number {number}" for number in range(30)]
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        await has_said(ada, node, "Crème brûlée", *older)
        await here.page.goto("about:blank")
        await here.page.goto(node.http)
        await expect(here.text).to_be_focused()
        found, text = here.page.locator("#search-found .session-title"), here.page.locator("#search-text")
        await here.page.keyboard.press("Control+k")
        await expect(text).to_be_focused()
        await expect(found).to_have_text(["New conversation", *reversed(older[-12:])])
        await here.page.keyboard.press("Escape")
        await expect(here.text).to_be_focused()
        await here.button("Search").click()
        await here.page.keyboard.type("NUMBÉR 29")
        await expect(found).to_have_text(["Number 29", "New conversation"])
        await text.fill("brûlée")
        await expect(found).to_have_text(["Crème brûlée", "New conversation"])
        await expect(here.page.locator("#search-none")).to_have_text("1 conversation")
        await expect(here.page.locator('[aria-selected="true"]')).to_have_id(
            str(await text.get_attribute("aria-activedescendant"))
        )
        await here.page.keyboard.press("Enter")
        await expect(here.turns.locator(".text").first).to_have_text("Crème brûlée")
        await here.page.keyboard.press("Control+k")
        await here.page.keyboard.type("nothing like it")
        await expect(here.page.locator("#search-none")).to_have_text("No conversation has this in its title.")
        await here.page.keyboard.press("Enter")
        await expect(here.turns).to_have_count(0)
        await expect(here.text).to_be_focused()


async def test_an_older_question_is_not_answered_over_a_newer_one(
    browser: Browser, redis_url: str, model: Script
) -> None:
    """The server's answer to the first letters comes late, and is not shown."""
    held: list[str | bytes] = []
    refs: list[str] = []

    def through(route: WebSocketRoute) -> None:
        server = route.connect_to_server()

        def asked(message: str | bytes) -> None:
            frame = json.loads(message)
            if frame.get("query") == "number 1":
                refs.append(frame["ref"])
            server.send(message)

        def answered(message: str | bytes) -> None:
            frames = json.loads(message)
            is_held = any(frame.get("ref") in refs for frame in (frames if isinstance(frames, list) else [frames]))
            (held.append if is_held else route.send)(message)

        route.on_message(asked)
        server.on_message(answered)
        routes.append(route)

    routes: list[WebSocketRoute] = []
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        await has_said(ada, node, *(f"Number {number}" for number in range(12)))
        await here.page.route_web_socket("**/ws", through)
        await here.page.reload()
        found = here.page.locator("#search-found .session-title")
        await here.button("Search").click()
        await here.page.locator("#search-text").fill("number 1")
        await until(lambda: held)
        await here.page.locator("#search-text").fill("number 2")
        await expect(found).to_have_text(["Number 2", "New conversation"])
        routes[0].send(held[0])
        await here.page.locator("#search-text").press("End")
        await expect(here.page.locator("#search-none")).to_have_text("1 conversation")
        await expect(found).to_have_text(["Number 2", "New conversation"])


async def test_a_line_has_a_menu(browser: Browser, redis_url: str, model: Script) -> None:
    """By keyboard: it renames, exports and deletes; the focus comes back, and goes to the neighbour of what is gone."""
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        await has_said(ada, node, "First", "Second", "Third")
        more = here.button("More for “Second”")
        await more.focus()
        await here.page.keyboard.press("Enter")
        await expect(here.page.get_by_role("menuitem", name="Rename")).to_be_focused()
        await here.page.keyboard.press("ArrowUp")
        await expect(here.page.get_by_role("menuitem", name="Delete")).to_be_focused()
        await here.page.keyboard.press("Escape")
        await expect(more).to_be_focused()
        await here.page.keyboard.press("ArrowDown")
        await here.page.keyboard.press("Enter")
        await here.page.locator("#rename-text").fill("Zweite")
        await here.page.keyboard.press("Enter")
        await expect(titles(here)).to_have_text(["Zweite", "Third", "First"])
        await expect(here.button("More for “Zweite”")).to_be_focused()
        await line(here, "Third").locator("a").focus()
        await here.page.keyboard.press("Delete")
        await expect(titles(here)).to_have_text(["Zweite", "First"])
        await expect(line(here, "First").locator("a")).to_be_focused()
        await here.page.keyboard.press("Control+z")
        await expect(titles(here)).to_have_text(["Zweite", "Third", "First"])
        await expect(line(here, "Third").locator("a")).to_be_focused()
        await here.page.keyboard.press("F2")
        await expect(here.page.locator("#rename-text")).to_have_value("Third")


async def saved(here: Tab, opener: str, words: str) -> tuple[str, str]:
    """Choose an export in the menu of this button; the file's name, and what is in it."""
    async with here.page.expect_download() as download:
        await here.button(opener).click()
        await here.page.get_by_role("menuitem", name=f"Export as {words}").click()
    file = await download.value
    return file.suggested_filename, (await file.path()).read_text()


async def test_conversations_are_taken_along(browser: Browser, redis_url: str, model: Script) -> None:
    """One, named by its title, or all; that it cannot be done is told, and why."""
    async with (
        serving(redis_url, model) as node,
        person(browser) as ada,
        tab(ada, node.http, excused="status of 503") as here,
    ):
        await has_said(ada, node, "First: a/b", "Second")
        day = await here.page.evaluate("new Date().toLocaleDateString('sv')")
        name, text = await saved(here, "More for “First: a/b”", "Markdown")
        assert name == f"First a b {day}.md"
        assert text.startswith("# First: a/b\n")
        assert "You said: First: a/b" in text
        assert "Second" not in text
        name, text = await saved(here, "Export all", "JSON")
        assert name == f"Conversations {day}.json"
        assert [one["title"] for one in json.loads(text)["sessions"]] == ["Second", "First: a/b"]
        problem = {"code": "unavailable", "detail": "the state store does not answer"}
        await here.page.route("**/api/export*", lambda route: route.fulfill(status=503, json=problem))
        await here.button("Export all").click()
        await here.page.get_by_role("menuitem", name="Export as Markdown").click()
        await expect(here.page.locator("#notice-words")).to_contain_text("Nothing was exported. ")
        await expect(here.page.locator("#notice-words")).to_contain_text("Nothing is lost.")


async def test_what_one_has_not_seen_is_marked(browser: Browser, redis_url: str, model: Script) -> None:
    """On this device, until one opens it in any of its tabs; nothing at the first visit; a new title is no news."""
    async with serving(redis_url, model) as node, person(browser) as ada, person(browser) as phone:
        await has_said(ada, node, "Before", "Early")
        await is_also(ada, phone)
        async with tab(ada, f"{node.http}/#Before") as here, tab(ada, node.http) as other:
            await expect(titles(other)).to_have_text(["Early", "Before"])
            await expect(here.page.locator(".is-unread")).to_have_count(0)
            await here.page.bring_to_front()
            await has_said(phone, node, "Later", "Before")
            for either in (here, other):
                await expect(either.page.locator(".is-unread .session-title")).to_have_text(["Later"])
                await expect(either.page.get_by_role("link", name="Later unread")).to_be_visible()
            await expect(here.page).to_have_title("(1) Before")
            async with tab(phone, node.http) as elsewhere:
                await expect(titles(elsewhere)).to_have_text(["Before", "Later", "Early"])
                await expect(elsewhere.page.locator(".is-unread")).to_have_count(0)
                rename = await phone.request.patch(f"{node.http}/api/sessions/Early", data={"title": "Renamed"})
                assert rename.ok
                await expect(titles(here)).to_have_text(["Renamed", "Before", "Later"])
            await expect(here.page.locator(".is-unread .session-title")).to_have_text(["Later"])
            await here.page.get_by_role("link", name="Later").click()
            await expect(here.turns).to_have_count(2)
            for either in (here, other):
                await expect(either.page.locator(".is-unread")).to_have_count(0)
            await expect(here.page).to_have_title("Later")
            await here.page.reload()
            await expect(here.turns).to_have_count(2)
            await expect(here.page.locator(".is-unread")).to_have_count(0)


async def test_two_devices_are_in_step(
    browser: Browser, redis_url: str, model: Script, steps: asyncio.Semaphore
) -> None:
    """A new conversation, its answer under way, another title and its end are seen on the other one as they come."""
    async with (
        two(redis_url, model) as (a, b),
        person(browser) as ada,
        person(browser) as phone,
        tab(ada, a.http) as here,
    ):
        await is_also(ada, phone)
        async with tab(phone, b.http) as other:
            await expect(other.page.locator("#session-none")).to_be_visible()
            await here.page.bring_to_front()
            await here.say("First.")
            for either in (here, other):
                await expect(titles(either)).to_have_text(["First."])
                await expect(either.page.locator(".session-mark")).to_have_text(["answering"])
            steps.release()
            for either in (here, other):
                await expect(either.page.locator(".session-mark")).to_have_text([""])
            await here.button("Rename").click()
            await here.page.locator("#rename-text").fill("Another title")
            await here.button("Rename").last.click()
            for either in (here, other):
                await expect(titles(either)).to_have_text(["Another title"])
            await here.button("Delete").click()
            await expect(titles(here)).to_have_count(0)
            await expect(titles(other)).to_have_text(["Another title"])


async def test_the_list_is_by_day(browser: Browser, redis_url: str, model: Script) -> None:
    """Each group has a heading; more come by themselves when the end of the list comes into view."""
    names = [f"Number {number}" for number in range(34)]
    async with serving(redis_url, model) as node, person(browser, locale="de-DE") as ada, tab(ada, node.http) as here:
        await has_said(ada, node, *names)
        await aged(
            redis_url, node, {"Number-33": 0, "Number-32": 1, "Number-31": 3} | dict.fromkeys(ids(names[:31]), 9)
        )
        await here.page.reload()
        groups = here.page.locator("#session-list section")
        await expect(groups.locator("h2")).to_have_text(["Heute", "Gestern", "Letzte 7 Tage", "Älter"])
        for group, title in zip(await groups.all(), ["Number 33", "Number 32", "Number 31"], strict=False):
            await expect(group.locator(".session-title")).to_have_text([title])
        await expect(titles(here)).to_have_count(30)
        await here.page.locator("nav").evaluate("(nav) => nav.scrollTo(0, nav.scrollHeight)")
        await expect(titles(here)).to_have_count(34)
        await expect(here.page.locator("#session-older")).to_be_hidden()


async def test_a_narrow_page_has_the_list_in_a_drawer(browser: Browser, redis_url: str, model: Script) -> None:
    """At the side where lines begin; the focus goes in and comes back, and Esc closes one thing at a time."""
    async with (
        serving(redis_url, model) as node,
        person(browser, width=320, height=600) as ada,
        tab(ada, node.http) as here,
    ):
        await has_said(ada, node, "First")
        drawer, toggle = here.page.locator("#sessions"), here.button("Show conversations")
        for direction in ("rtl", "ltr"):
            await here.page.evaluate("(direction) => { document.documentElement.dir = direction }", direction)
            await expect(drawer).not_to_be_in_viewport()
            await toggle.click()
            await expect(here.button("New")).to_be_focused()
            await expect(drawer).to_be_in_viewport(ratio=1)
            await here.button("More for “First”").click()
            await expect(here.page.get_by_role("menu")).to_be_in_viewport(ratio=1)
            assert await here.page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
            await here.page.keyboard.press("Escape")
            await expect(here.page.get_by_role("menu")).to_have_count(0)
            await expect(drawer).to_be_in_viewport(ratio=1)
            await here.page.keyboard.press("Escape")
            await expect(toggle).to_be_focused()
            await expect(drawer).not_to_be_in_viewport()
        await toggle.click()
        await line(here, "First").locator("a").click()
        await expect(here.turns).to_have_count(2)
        await expect(drawer).not_to_be_in_viewport()
        await here.status.click()
        await expect(here.page.locator("#details")).to_be_in_viewport(ratio=1)
        assert await here.page.evaluate(WIDER) == []
