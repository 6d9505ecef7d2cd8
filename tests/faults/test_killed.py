"""A node that dies loses no answer: others go on with its runs, and every screen shows a prefix of the log."""

import time
from itertools import cycle, islice
from pathlib import Path
from typing import Final

from redis import Redis

from tests.faults.nodes import Cluster, NodeProcess, nodes
from tests.faults.talk import HOWS, Talk, both_models, counting, question, talking

ROUNDS: Final = 5
SESSIONS: Final = 10
LEASE_SECONDS: Final = 1.0
TEXT: Final = question(40, 20)


async def test_fifty_runs_outlive_their_nodes(redis_url: str, redis: Redis, tmp_path: Path) -> None:
    """Five times the node that produces ten answers gets kill -9. Each ends once, done, with its text, as the same run.

    Half of them begin anew elsewhere, half go on after the text that stands, as their models can. From the kill to the
    new `run` entry it takes a lease and a second at most, and each is tried no more than twice.
    """
    taken_s: list[float] = []
    async with (
        counting() as up,
        nodes(redis_url, up.url, MODELS=both_models(tmp_path, up.url)) as cluster,
        talking(cluster, redis) as talk,
    ):
        for victim in islice(cycle(cluster), ROUNDS):
            taken_s += await _killed(victim, cluster, talk)
    taken_s.sort()
    print("seconds to take over:", " ".join(f"{seconds:.2f}" for seconds in taken_s))
    assert len(taken_s) == len(up.requests) / 2 == ROUNDS * SESSIONS
    assert taken_s[int(0.99 * len(taken_s))] <= LEASE_SECONDS + 1


async def _killed(victim: NodeProcess, cluster: Cluster, talk: Talk) -> list[float]:
    """Kill a node in the midst of ten answers, and start it again; return in how many seconds they were taken over."""
    asked = await talk.ask(victim, SESSIONS, TEXT, HOWS)
    await talk.begun(asked)
    victim.kill()
    killed_at = time.time()
    await talk.again(cluster.others(victim.name)[0], asked)
    await victim.start()
    logs = await talk.over(asked)
    await talk.again(victim, asked)
    await talk.remembered(victim, asked)
    talk.hush()
    taken_s = []
    for one, log in zip(asked, logs, strict=True):
        (_, first), (ms, second) = log.begun(one.run)
        assert (first["node"], first["how"], first["attempt"]) == (victim.name, "new", 1)
        assert (second["how"], second["attempt"]) == (one.say["model"], 2)
        taken_s.append(ms / 1000 - killed_at)
    return taken_s
