"""The page and its connection: which node serves it, what it says when that goes, and that nothing is lost."""

import asyncio
import re
from contextlib import AsyncExitStack

import pytest
from playwright.async_api import Browser, expect

from app.edge.serve import drain
from app.edge.websocket import Connection
from tests.browser.chromium import Tab, person, tab
from tests.servers import Script, Served, becomes, free_port, serving, until

# What chromium itself writes when nobody listens: for the socket, and for the icon, which it fetches again with each
# step in the history.
REFUSED = r"^(WebSocket connection to \S+/ws' failed|Failed to load .*ERR_CONNECTION_REFUSED \S+/favicon\.svg$)"
ONLINE = "dispatchEvent(new Event('online'))"
WORDS = ["Hé ", "漢字 ", "😀\n", "👩‍👩‍👧 ", "end."]

# Notes each state of the connection that the page shows, and how often the answer's text grew shorter.
WATCH = """() => {
  window.seen = { states: [], shorter: 0 };
  let longest = 0;
  const note = () => {
    const state = document.documentElement.dataset.connection;
    if (window.seen.states.at(-1) !== state) window.seen.states.push(state);
    const text = document.querySelector('.turn[data-role="assistant"] .text')?.textContent ?? "";
    if (text.length < longest) window.seen.shorter += 1;
    longest = Math.max(longest, text.length);
  };
  note();
  const all = { attributes: true, childList: true, characterData: true, subtree: true };
  new MutationObserver(note).observe(document, all);
}"""

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def served_by(here: Tab, name: str) -> None:
    """Wait until the page is connected to the node of this name."""
    await expect(here.status).to_have_text("connected")
    await expect(here.page.locator("html")).to_have_attribute("data-connection", "open")
    await expect(here.page.locator("html")).to_have_attribute("data-node", name)


def cut(node: Served) -> None:
    """Cut all connections of a node, as one that starts anew does."""
    for connection in list(node.site.connections):
        connection.end(1012)


async def came_back(here: Tab, node: Served, before: set[Connection]) -> bool:
    """Tell the page that there is a network; whether it has a new connection to the node."""
    await here.page.evaluate(ONLINE)
    return bool(node.site.connections - before)


async def test_the_details_say_how_it_stands(browser: Browser, redis_url: str, model: Script) -> None:
    """In a panel beside the quiet line, by keyboard; it is copied without secrets, and Esc closes nothing else."""
    async with serving(redis_url, model, "north") as node, person(browser) as ada, tab(ada, node.http) as here:
        await ada.grant_permissions(["clipboard-read", "clipboard-write"])
        await here.say("First.")
        await here.expect_text(0, "You said: First.")
        cut(node)
        await served_by(here, "north")
        await here.status.press("Enter")
        panel, facts = here.page.locator("#details"), here.page.locator("#details-list dd")
        await expect(panel).to_be_focused()
        await expect(facts.nth(0)).to_have_text("north")
        await expect(facts.nth(2)).to_have_text(re.compile(r"^\d+ ms$"))
        await expect(facts.nth(5)).to_have_text("1 ×, 0 entries brought back")
        await here.page.keyboard.press("Tab")
        await here.page.keyboard.press("Enter")
        await expect(here.button("Copied")).to_be_visible()
        copied = await here.page.evaluate("navigator.clipboard.readText()")
        (user,) = {connection.user.key for connection in node.site.connections}
        assert copied.startswith("Node: north\nSince: ")
        assert f"User: {user[:6]}…" in copied
        assert user not in copied
        await here.page.keyboard.press("Escape")
        await expect(panel).to_be_hidden()
        await expect(here.status).to_be_focused()
        await here.status.click()
        await here.text.focus()
        await expect(panel).to_be_hidden()
        await expect(here.text).to_be_focused()


async def test_what_was_missed_is_counted_in_words(
    browser: Browser, redis_url: str, model: Script, steps: asyncio.Semaphore
) -> None:
    """After a time without a node: for a moment, in the line and once aloud. A short gap shows nothing."""
    port = free_port()
    model.answers.append(["One ", "two three, ", "four. ", "end."])
    async with AsyncExitStack() as gone, serving(redis_url, model, "b") as b, person(browser) as ada:
        a = await gone.enter_async_context(serving(redis_url, model, "a", port=port))
        async with tab(ada, "about:blank", excused=REFUSED) as here:
            await here.page.clock.install()
            await here.page.goto(f"{a.http}/#tale")
            await served_by(here, "a")
            assert (await ada.request.post(f"{b.http}/api/sessions/tale/turns", data={"text": "Tell me."})).ok
            steps.release()
            await here.expect_text(0, "One ")
            await here.page.evaluate(WATCH)
            await here.page.clock.pause_at(await here.page.evaluate("Date.now() + 1000"))
            before = set(a.site.connections)
            cut(a)
            await becomes(lambda: came_back(here, a, before))
            await here.page.clock.fast_forward(1_000)
            await here.page.clock.resume()
            await served_by(here, "a")
            assert (await here.page.evaluate("seen"))["states"] == ["open"]
            await gone.aclose()
            await expect(here.status).to_have_text("reconnecting, nothing is lost")
            await expect(here.page.locator("#status-said")).to_have_text("reconnecting, nothing is lost")
            for _ in range(4):
                steps.release()
            await until(lambda: model.closed == 1)
            async with serving(redis_url, model, "c", port=port):
                await here.page.evaluate(ONLINE)
                await expect(here.status).to_have_text("caught up, 4 words")
                await expect(here.page.locator("#status-said")).to_have_text("caught up, 4 words")
                await here.expect_text(0, "One two three, four. end.")
                await here.page.clock.fast_forward(4_000)
                await served_by(here, "c")


async def test_a_page_that_is_online_again_is_back_at_once(
    browser: Browser, redis_url: str, model: Script, steps: asyncio.Semaphore
) -> None:
    """Without waiting for its next try, which never comes here; what was written meanwhile is there."""
    model.answers.append(list(WORDS))
    async with (
        serving(redis_url, model) as node,
        person(browser) as ada,
        tab(ada, "about:blank", excused="ERR_INTERNET_DISCONNECTED") as here,
    ):
        await here.page.clock.install()
        await here.page.goto(node.http)
        await here.say("Tell me.")
        steps.release()
        await here.expect_text(0, WORDS[0])
        await ada.set_offline(True)
        cut(node)
        await expect(here.status).to_have_text("you are offline; nothing is lost")
        for _ in range(len(WORDS)):
            steps.release()
        await until(lambda: model.closed == 1)
        await here.page.clock.pause_at(await here.page.evaluate("Date.now() + 1000"))
        assert not node.site.connections
        await ada.set_offline(False)
        await until(lambda: node.site.connections)
        await here.page.clock.resume()
        await here.expect_text(0, "".join(WORDS))
        assert node.node.differing == 0


async def test_a_page_that_slept_goes_on(
    browser: Browser, redis_url: str, model: Script, steps: asyncio.Semaphore
) -> None:
    """The browser froze it, and its connection was lost meanwhile: what was written is there when it wakes."""
    model.answers.append(list(WORDS))
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        await here.say("Tell me.")
        steps.release()
        await here.expect_text(0, WORDS[0])
        control = await ada.new_cdp_session(here.page)
        await control.send("Page.setWebLifecycleState", {"state": "frozen"})
        cut(node)
        for _ in range(len(WORDS)):
            steps.release()
        await until(lambda: model.closed == 1)
        assert not node.site.connections
        await control.send("Page.setWebLifecycleState", {"state": "active"})
        await here.expect_text(0, "".join(WORDS))
        assert node.node.differing == 0


async def test_a_node_goes_and_the_page_moves_to_another(
    browser: Browser, redis_url: str, model: Script, steps: asyncio.Semaphore
) -> None:
    """One of NODES, in mid-answer: it goes on there to the model's last code point, and one speaks on."""
    ports = (free_port(), free_port())
    nodes = ",".join(f"http://127.0.0.1:{port}" for port in ports)
    model.answers.append(list(WORDS))
    async with AsyncExitStack() as gone, serving(redis_url, model, "b", port=ports[1], nodes=nodes) as b:
        a = await gone.enter_async_context(serving(redis_url, model, "a", port=ports[0], nodes=nodes))
        async with person(browser) as ada, tab(ada, b.http) as speaker:
            await speaker.say("Tell me.")
            session = await speaker.session()
            async with tab(ada, f"{a.http}/#{session}", excused=REFUSED) as here:
                await served_by(here, "a")
                for count in range(1, len(WORDS)):
                    steps.release()
                    await here.expect_text(0, "".join(WORDS[:count]))
                    if count == 2:
                        await gone.aclose()
                await served_by(here, "b")
                steps.release()
                await expect(here.answers).to_have_attribute("data-state", "done")
                await here.expect_text(0, "".join(WORDS))
                steps.release()
                await here.say("Still there?")
                await here.expect_text(1, "You said: Still there?")
                await expect(speaker.turns).to_have_count(4)
        assert (len(model.asked), b.node.differing) == (2, 0)


async def test_a_node_that_leaves_sends_the_page_to_another(
    browser: Browser, redis_url: str, model: Script, steps: asyncio.Semaphore
) -> None:
    """In mid-answer, before it is gone: the page never says that it reconnects, and nothing on it is taken back."""
    ports = (free_port(), free_port())
    nodes = ",".join(f"http://127.0.0.1:{port}" for port in ports)
    model.answers.append(list(WORDS))
    async with (
        serving(redis_url, model, "a", port=ports[0], nodes=nodes, drain_seconds=20) as a,
        serving(redis_url, model, "b", port=ports[1], nodes=nodes) as b,
        person(browser) as ada,
        tab(ada, a.http) as here,
    ):
        await served_by(here, "a")
        await here.page.evaluate(WATCH)
        await here.say("Tell me.")
        steps.release()
        await here.expect_text(0, WORDS[0])
        draining = asyncio.create_task(drain(a.node, a.site, asyncio.Event()))
        await served_by(here, "b")
        for _ in range(len(WORDS) + 1):
            steps.release()
        await here.expect_text(0, "".join(WORDS))
        await draining
        assert await here.page.evaluate("seen") == {"states": ["open"], "shorter": 0}
        assert (len(model.asked), len(a.site.connections), b.node.differing) == (1, 0, 0)


async def test_the_node_that_answers_is_killed_and_the_page_shows_the_whole_answer(
    browser: Browser, redis_url: str, model: Script
) -> None:
    """Its socket and its answer are gone with it: the page goes to another node, which takes the answer over."""
    ports = (free_port(), free_port())
    nodes = ",".join(f"http://127.0.0.1:{port}" for port in ports)
    model.answers.extend([["Half an ", 60.0], list(WORDS)])
    async with (
        AsyncExitStack() as gone,
        serving(redis_url, model, "b", port=ports[1], nodes=nodes, lease_seconds=1) as b,
    ):
        a = await gone.enter_async_context(serving(redis_url, model, "a", port=ports[0], nodes=nodes, lease_seconds=1))
        async with person(browser) as ada, tab(ada, a.http, excused=REFUSED) as here:
            await here.say("Tell me.")
            await here.expect_text(0, "Half an ")
            a.node.runner.abandon()
            await gone.aclose()
            await served_by(here, "b")
            await here.expect_text(0, "".join(WORDS))
            await expect(here.answers).to_have_attribute("data-state", "done")
            assert (len(model.asked), b.node.rescue.claimed.total(), b.node.differing) == (2, 1, 0)


async def test_what_is_said_while_there_is_no_node_is_answered_later(
    browser: Browser, redis_url: str, model: Script
) -> None:
    """It is marked as not sent, and goes out, once, when a node is there again."""
    port = free_port()
    async with AsyncExitStack() as first, person(browser) as ada:
        a = await first.enter_async_context(serving(redis_url, model, "a", port=port))
        async with tab(ada, a.http, excused=REFUSED) as here:
            await here.say("First.")
            await here.expect_text(0, "You said: First.")
            await first.aclose()
            await expect(here.status).to_have_text("reconnecting, nothing is lost")
            await expect(here.page.locator("html")).to_have_attribute("data-connection", "connecting")
            await here.say("Second.")
            await expect(here.turns.last).to_have_attribute("data-state", "pending")
            await expect(here.turns.last).to_contain_text("Not sent yet.")
            async with serving(redis_url, model, "c", port=port) as c:
                await served_by(here, "c")
                await here.expect_text(1, "You said: Second.")
                await expect(here.turns.locator(".text")).to_have_text(
                    ["First.", "You said: First.", "Second.", "You said: Second."]
                )
                assert c.node.differing == 0
    assert len(model.asked) == 2


async def test_a_socket_is_cut_and_nothing_is_lost_or_said_twice(
    browser: Browser, redis_url: str, model: Script
) -> None:
    """With a message on its way, again and again: each is one turn, and is answered once."""
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        expected: list[str] = []
        for number in range(3):
            await served_by(here, "a")
            await here.say(f"Number {number}.")
            cut(node)
            expected += [f"Number {number}.", f"You said: Number {number}."]
            await expect(here.turns.locator(".text")).to_have_text(expected)
        await until(lambda: node.node.runner.running == 0)
        assert (len(model.asked), node.node.differing) == (3, 0)
