"""Tools for nodes that are killed: what was done is known afterwards, and a call stands where the test wants it to.

Load them with `TOOLS=tests.faults.tools_for_nodes`. Each call is noted in the node's Redis, before and after it waits
for its gate there. A gate is a list: open once something is in it, and it stays open.
"""

import json
import os
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from app.agent.tools import AgentRequest, tool

DONE: Final = "tools:done"  # what was done: [session, what, before | after, node], oldest first
SECONDS: Final = 100.0


def gate(session: str, what: str) -> str:
    """The key of the gate of a call."""
    return f"tools:gate:{session}:{what}"


def outcome(name: str, what: str) -> dict[str, str]:
    """What comes of a call."""
    return {name: what}


@tool(idempotent=True, seconds=SECONDS)
async def look(request: AgentRequest, what: str) -> dict[str, str]:
    """Look at something; it may be done again."""
    return await _done(request.session_id, "look", what)


@tool(seconds=SECONDS)
async def book(request: AgentRequest, what: str) -> dict[str, str]:
    """Book something; it must not be done again."""
    return await _done(request.session_id, "book", what)


@tool(approval=True, seconds=SECONDS)
async def pay(request: AgentRequest, what: str) -> dict[str, str]:
    """Pay for something; a person is asked, and it must not be done again."""
    return await _done(request.session_id, "pay", what)


@tool(approval=True, idempotent=True, seconds=SECONDS)
async def order(request: AgentRequest, what: str) -> dict[str, str]:
    """Order something; a person is asked, and it may be done again."""
    return await _done(request.session_id, "order", what)


async def _done(session: str, name: str, what: str) -> dict[str, str]:
    """Note that it begins, wait for its gate, and note that it has ended."""
    never = Retry(NoBackoff(), 0)
    redis: Any = Redis.from_url(os.environ["REDIS_URL"], socket_timeout=None, retry=never)
    async with redis:
        for when in ("before", "after"):
            await redis.rpush(DONE, json.dumps([session, what, when, os.environ["NODE"]]))
            if when == "before":
                await redis.blmove(gate(session, what), gate(session, what), 0)
    return outcome(name, what)
