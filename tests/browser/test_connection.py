"""The page and its connection: which node serves it, what it says when that goes, and that nothing is lost."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from playwright.async_api import Browser, expect

from app.edge.serve import drain
from tests.browser.chromium import person, tab
from tests.servers import Script, free_port, serving, until

# What chromium itself writes when nobody listens: for the socket, and for the icon, which it fetches again with each
# step in the history.
REFUSED = r"^(WebSocket connection to \S+/ws' failed|Failed to load .*ERR_CONNECTION_REFUSED \S+/favicon\.svg$)"
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


async def test_the_page_says_which_node_serves_it(browser: Browser, redis_url: str, model: Script) -> None:
    """In words, once there is a connection; and in the document, for its looks."""
    async with serving(redis_url, model, "north") as node, person(browser) as ada, tab(ada, node.http) as here:
        await expect(here.status).to_have_text("connected to node north")
        await expect(here.page.locator("html")).to_have_attribute("data-connection", "open")


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
                await expect(here.status).to_have_text("connected to node a")
                for count in range(1, len(WORDS)):
                    steps.release()
                    await here.expect_text(0, "".join(WORDS[:count]))
                    if count == 2:
                        await gone.aclose()
                await expect(here.status).to_have_text("connected to node b")
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
        await expect(here.status).to_have_text("connected to node a")
        await here.page.evaluate(WATCH)
        await here.say("Tell me.")
        steps.release()
        await here.expect_text(0, WORDS[0])
        draining = asyncio.create_task(drain(a.node, a.site, asyncio.Event()))
        await expect(here.status).to_have_text("connected to node b")
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
            await expect(here.status).to_have_text("connected to node b")
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
                await expect(here.status).to_have_text("connected to node c")
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
            await expect(here.status).to_have_text("connected to node a")
            await here.say(f"Number {number}.")
            for connection in list(node.site.connections):
                connection.end(1012)
            expected += [f"Number {number}.", f"You said: Number {number}."]
            await expect(here.turns.locator(".text")).to_have_text(expected)
        await until(lambda: node.node.runner.running == 0)
        assert (len(model.asked), node.node.differing) == (3, 0)
