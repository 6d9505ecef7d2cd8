"""edge.heartbeat: everybody gets one in every interval, and not all at the same moment."""

import asyncio
from contextlib import suppress

from app.edge.heartbeat import Heartbeat
from tests.servers import until


class Client:
    """Notes its heartbeats, and when they came."""

    def __init__(self, beats: "list[tuple[Client, float]]") -> None:
        self._beats = beats

    def beat(self) -> None:
        """Take one."""
        self._beats.append((self, asyncio.get_running_loop().time()))


async def test_heartbeats_are_spread() -> None:
    """Each has one before anybody has a second; who has left has none."""
    beats: list[tuple[Client, float]] = []
    heartbeat, clients = Heartbeat(), [Client(beats) for _ in range(100)]
    gone, *there = clients
    for client in clients:
        heartbeat.add(client)
    heartbeat.remove(gone)
    running = asyncio.create_task(heartbeat.run(1.0))
    await until(lambda: len(beats) >= len(there))
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    first = beats[: len(there)]
    assert {client for client, _ in first} == {*there}
    assert len({at for _, at in first}) > 20
    beats.clear()
    heartbeat.once()
    assert {client for client, _ in beats} == {*there}
    assert len(beats) == len(there)
