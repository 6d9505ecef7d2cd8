"""A node that stands still past its lease, and then goes on: its runs are another's by then, and it writes no more.

What it had read from the model before, and reads after, must not reach the log: there, each attempt's text is a prefix
of the answer, which one stray word of an older attempt would break. Some answers begin anew elsewhere, some go on.
"""

import os
import signal
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Final

from redis import Redis

from tests.faults.nodes import NodeProcess, nodes
from tests.faults.talk import HOWS, Asked, Talk, both_models, counting, question, talking
from tests.servers import until

ROUNDS: Final = 4
SESSIONS: Final = 5
TEXT: Final = question(40, 20)
BLOCK_SECONDS: Final = 10.0
BLOCK: Final = f"""
import signal, time
signal.signal(signal.SIGUSR1, lambda *_: time.sleep({BLOCK_SECONDS}))
"""


async def test_a_thawed_node_writes_nothing_stale(redis_url: str, redis: Redis, tmp_path: Path) -> None:
    """Twenty runs whose node is stopped (SIGSTOP) until all are taken over, and then goes on (SIGCONT).

    Text waits there to be written at any moment: what is written first is an append, not the renewal of a lease.
    """
    async with (
        counting() as up,
        nodes(redis_url, up.url, MODELS=both_models(tmp_path, up.url), FLUSH_MS="300") as cluster,
        talking(cluster, redis) as talk,
    ):
        for victim in islice(cycle(cluster), ROUNDS):
            asked = await talk.ask(victim, SESSIONS, TEXT, HOWS)
            await talk.begun(asked)
            victim.freeze()
            await _taken_over(asked)
            victim.thaw()
            await _fenced_out(victim, asked)
            await _healed(victim, asked, talk)
        assert len(up.requests) == ROUNDS * (2 * SESSIONS + 1)


async def test_a_node_whose_loop_is_blocked_loses_its_runs_and_no_client(
    redis_url: str, redis: Redis, tmp_path: Path
) -> None:
    """Its main thread does nothing for ten seconds, while its sockets stay open and its other threads may live."""
    (tmp_path / "sitecustomize.py").write_text(BLOCK)
    own = {"a": {"PYTHONPATH": str(tmp_path)}}
    async with (
        counting() as up,
        nodes(redis_url, up.url, own=own, MODELS=both_models(tmp_path, up.url)) as cluster,
        talking(cluster, redis) as talk,
    ):
        victim = cluster["a"]
        asked = await talk.ask(victim, SESSIONS, TEXT, HOWS)
        await talk.begun(asked)
        began = time.monotonic()
        os.kill(victim.pid, signal.SIGUSR1)
        await _taken_over(asked)
        await until(lambda: all(one.over for one in asked), BLOCK_SECONDS + 5)  # at `a`, too, once it goes on
        assert time.monotonic() - began > BLOCK_SECONDS
        await _fenced_out(victim, asked)
        await _healed(victim, asked, talk)


async def _taken_over(asked: list[Asked]) -> None:
    """Wait until some reader of each session sees that its run began anew."""
    await until(lambda: all(max(len(screen.begun.get(one.run, ())) for screen in one.screens) == 2 for one in asked))


async def _fenced_out(victim: NodeProcess, asked: list[Asked]) -> None:
    """Wait until a node says of each run that it tried to write, and was refused."""
    await until(lambda: all(f"run {one.run}: fenced out" in victim.log for one in asked))


async def _healed(victim: NodeProcess, asked: list[Asked], talk: Talk) -> None:
    """Hold what was asked to the laws: two attempts, the second elsewhere; and the node serves on."""
    for one, log in zip(asked, await talk.over(asked), strict=True):
        (_, first), (_, second) = log.begun(one.run)
        assert first["node"] == victim.name != second["node"]
        assert second["how"] == one.say["model"]
    await talk.again(victim, asked)
    await talk.remembered(victim, asked)
    later = await talk.ask(victim, 1, question(2, 20))
    [log] = await talk.over(later)
    assert [entry["node"] for _, entry in log.begun(later[0].run)] == [victim.name]
    talk.hush()
