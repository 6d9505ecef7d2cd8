"""The origin document's own tests, on real parts; and its table of names, which must be true."""

import asyncio
import contextlib
import dataclasses
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx
import pytest

from app.agent.llm import Limits, OpenAIModel
from app.agent.tools import SearchTool, tool
from app.agent.tools.declared import WrongTools
from app.config import Settings
from app.core.errors import IdReused
from app.core.model import Session, User
from app.stateless import ISSUER, Failed, OnHold, StatelessAgent, StatelessToolAgent
from tests.cluster.test_takeover import FOREVER
from tests.servers import ROOT, Script, becomes, call, free_port, serving, two, until

TABLE = (ROOT / "docs" / "origin.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in TABLE.splitlines() if line.startswith("| ")][
    1:
]


def _found(name: str) -> Any:
    """What a dotted name is."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        with contextlib.suppress(ModuleNotFoundError):
            found: Any = importlib.import_module(".".join(parts[:count]))
            for part in parts[count:]:
                found = getattr(found, part)
            return found
    raise AssertionError(name)


async def test_each_name_has_a_successor(redis_url: str, model: Script) -> None:
    """Importable, a setting, or a route; only what is said to be missing is."""
    settings = {field.name.upper() for field in dataclasses.fields(Settings)}
    async with serving(redis_url, model) as served:
        routes = {f"{door.method} {door.path}" for door in served.site.doors}
    assert len(ROWS) > 25
    for row in ROWS:
        where = row[2].strip("`")
        if where.startswith("setting "):
            assert where.removeprefix("setting ").strip("`") in settings, row
        elif where.startswith("route "):
            assert where.removeprefix("route ").strip("`") in routes, row
        elif row[1] != "not yet":
            assert _found(where).__doc__, row
    said = " ".join(row[0] for row in ROWS)
    names = {"ConversationTurn", "StateStorage", "RedisStateStorage", "StatelessAgent", "AgentRequest", "StatelessTool",
             "RequestContextBuilder", "SearchTool", "StatelessToolAgent", "StateCache", "CachedStateStorage",
             "PooledStateStorage", "ChatRequest", "ChatResponse"}  # fmt: skip
    assert names <= set(re.findall(r"\w+", said))


async def test_a_tool_agent_searches_for_its_user(redis_url: str, model: Script) -> None:
    """With its own tool, at each node that has it; whoever is not that agent has none; an approval is told of."""
    asked: list[dict[str, str]] = []

    class Service:
        async def search(self, **given: str) -> list[str]:
            """Find one thing."""
            asked.append(given)
            return [f"about {given['query']}"]

    @tool(approval=True)
    async def pay() -> str:
        """Pay."""
        return "paid"

    async with two(redis_url, model) as (a, b):
        agents = [StatelessToolAgent(None, one.node, [SearchTool(Service()), pay]) for one in (a, b)]
        for index, agent in enumerate(agents):
            model.answers.extend([[call("search", {"query": "logs"})], ["Found."]])
            said = await agent.process_message("ada", "s", f"Search {index}.")
            assert (said["response"], said["metadata"]["tools_used"]) == ("Found.", ["search"])
        user = User.of(ISSUER, "ada").key
        assert asked == [{"query": "logs", "user_id": user, "language": "en", "expertise_level": "general"}] * 2
        await StatelessAgent(None, a.node).process_message("ada", "t", "Search.")
        known = [{schema["name"] for schema in prompt.tools} for prompt in model.prompts]
        assert ["search" in names for names in known] == [True] * 4 + [False]
        model.answers.append([call("pay", {})])
        with pytest.raises(OnHold):
            await agents[0].process_message("ada", "u", "Pay.")


async def test_a_tool_agent_may_be_made_for_each_message(redis_url: str, model: Script) -> None:
    """Its tools are the same if they are made from the same; what else has their name is told."""

    class Service:
        async def search(self, **given: str) -> list[str]:
            """Find one thing."""
            return [f"about {given['query']}"]

    service = Service()
    async with serving(redis_url, model) as a:
        for index in range(2):
            model.answers.extend([[call("search", {"query": "logs"})], ["Found."]])
            agent = StatelessToolAgent(None, a.node, [SearchTool(service)])
            said = await agent.process_message("ada", "s", f"Search {index}.")
            assert (said["response"], said["metadata"]["tools_used"]) == ("Found.", ["search"])
        with pytest.raises(WrongTools, match="two tools are named 'search'"):
            StatelessToolAgent(None, a.node, [SearchTool(Service())])


async def test_process_message_stateless(redis_url: str, model: Script) -> None:
    """The agent has no state inside: the second message is asked with what the first left in the storage."""
    async with serving(redis_url, model) as served:
        agent = StatelessAgent("script-1", served.node)
        kept = [dict(vars(agent)) for _ in range(2)]
        first = await agent.process_message("user123", "session456", "Hello, world!")
        second = await agent.process_message("user123", "session456", "Hello, world!")
        assert (first["session_id"], second["session_id"]) == ("session456", "session456")
        assert first["response"] == "You said: Hello, world!"
        assert datetime.fromisoformat(first["timestamp"]).tzinfo is not None
        assert [message["content"] for message in model.asked[1]][1:] == [
            "Hello, world!", "You said: Hello, world!", "Hello, world!",
        ]  # fmt: skip
        assert kept[0] == vars(agent)
        history = await agent.state_storage.get_conversation_history(Session(User.of(ISSUER, "user123"), "session456"))
        assert [turn.role for turn in history] == ["user", "assistant"] * 2
        assert served.node.state.storage.misses + served.node.state.storage.hits == 2


async def test_multiple_instances_consistency(redis_url: str, model: Script) -> None:
    """Two agents on two nodes: each has what the other was told, and preferences count at once at both."""
    async with two(redis_url, model) as (a, b):
        one, other = StatelessAgent("script-1", a.node), StatelessAgent(None, b.node)
        await one.process_message("user123", "session456", "Hello")
        await one.state_storage.update_user_context(User.of(ISSUER, "user123"), {"expertise_level": "expert"})
        result = await other.process_message("user123", "session456", "How are you?", {"page": 7})
        assert result["response"] == "You said: How are you?"
        system, *said = [message["content"] for message in model.asked[1]]
        assert said == ["Hello", "You said: Hello", "How are you?"]
        assert "Provide detailed, technical responses." in system
        assert '{"page":7}' in system
        assert (await other.process_message("user456", "session456", "Who am I?"))["response"] == "You said: Who am I?"
        assert [message["content"] for message in model.asked[2]][1:] == ["Who am I?"]


async def test_a_message_that_comes_again(redis_url: str, model: Script) -> None:
    """At another agent, while it runs and after: the same recorded answer, and the model is asked once."""
    async with two(redis_url, model) as (a, b):
        agents = [StatelessAgent(None, a.node), StatelessAgent(None, b.node)]
        told = ("ada", "s", "Hello.")
        answers = await asyncio.gather(*(agent.process_message(*told, message_id="m") for agent in agents * 3))
        answers.append(await agents[1].process_message(*told, message_id="m"))
        assert all(answer == answers[0] for answer in answers)
        assert len(model.asked) == 1
        with pytest.raises(IdReused):
            await agents[0].process_message("ada", "s", "Something else.", message_id="m")


async def test_a_takeover_in_the_middle(redis_url: str, model: Script) -> None:
    """The node that answers is gone: the other agent, asked the same, has the answer of the same run."""
    model.answers.extend([list(FOREVER), ["All ", "is ", "well."]])
    async with two(redis_url, model, lease_seconds=1.0) as (a, b):
        one, other = StatelessAgent(None, a.node), StatelessAgent(None, b.node)
        asking = asyncio.create_task(one.process_message("ada", "s", "Well?", message_id="m"))
        await until(lambda: a.node.state.runs.appends > 1)
        a.node.runner.abandon()
        answer = await other.process_message("ada", "s", "Well?", message_id="m")
        assert answer["response"] == "All is well."
        assert (await asking) == answer
        assert len(model.asked) == 2


async def test_what_failed_says_so(redis_url: str, model: Script) -> None:
    """With what was said until then, and nothing of what went wrong inside."""
    model.takeover = "fail"
    model.answers.append(["So far ", RuntimeError("a secret path")])
    async with serving(redis_url, model) as served:
        with pytest.raises(Failed) as caught:
            await StatelessAgent(None, served.node).process_message("ada", "s", "Hello.")
        assert (caught.value.code, caught.value.text) == ("internal", "So far ")
        assert "secret" not in caught.value.message


@contextlib.contextmanager
def llmock() -> Iterator[str]:
    """An upstream that nobody here wrote; its base URL."""
    port = free_port()
    line = [sys.executable, "-m", "llmock.cli", "serve", "--port", str(port), "--response-style", "echo"]
    with subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()


async def test_an_upstream_that_nobody_here_wrote(redis_url: str) -> None:
    """Two agents on two nodes talk to llmock."""
    with llmock() as url:
        async with httpx.AsyncClient(trust_env=False) as client:

            async def there() -> bool:
                with contextlib.suppress(httpx.TransportError):
                    return (await client.get(f"{url}/models")).status_code == 200
                return False

            await becomes(there, 20)
        up = await OpenAIModel.connect(base_url=url, api_key="key", name="gpt-4o-mini", limits=Limits())
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(up.close)
            a, b = await stack.enter_async_context(two(redis_url, up))
            for index, served in enumerate((a, b, a)):
                said = await StatelessAgent(None, served.node).process_message("ada", "s", f"Message {index}.")
                assert said["response"]
                assert said["metadata"]["model"] == "gpt-4o-mini"
            history = await a.node.state.storage.get_conversation_history(Session(User.of(ISSUER, "ada"), "s"))
            assert [turn.role for turn in history] == ["user", "assistant"] * 3
