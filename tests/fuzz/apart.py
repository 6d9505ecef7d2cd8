"""A node in a thread of its own: what is tried on it is plain, and many examples meet the same node."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.servers import Script, Served, serving

SECONDS = 15.0


@contextmanager
def apart(redis_url: str, model: Script, **settings: Any) -> Iterator[Served]:
    """Serve, until the block ends."""
    there = threading.Event()
    served: list[Served] = []
    failed: list[BaseException] = []
    loop = asyncio.new_event_loop()
    over = asyncio.Event()

    async def serve() -> None:
        try:
            async with serving(redis_url, model, **settings) as one:
                served.append(one)
                there.set()
                await over.wait()
        except BaseException as error:
            failed.append(error)
            raise
        finally:
            there.set()

    def run() -> None:
        try:
            loop.run_until_complete(serve())
        finally:
            loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert there.wait(SECONDS)
        assert not failed, failed
        yield served[0]
    finally:
        if not failed:
            loop.call_soon_threadsafe(over.set)
        thread.join(SECONDS)
    assert not failed, failed
