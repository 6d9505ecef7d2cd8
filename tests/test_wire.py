"""state.wire: a connection to Redis, on the event loop that nodes run on."""

import asyncio

import uvloop

from app.state.connect import connector
from app.state.wire import Wire, pack


def test_what_is_sent_on_a_broken_connection_is_sent_in_vain(redis_url: str) -> None:
    """Its owner learns from `lost` that it broke, a moment later than the transport; nobody fails of that."""

    async def broken() -> None:
        heard = asyncio.Queue[object]()
        wire = await Wire.reach(connector(redis_url)(), heard.put_nowait, lambda: None)
        wire.send(pack("PING"))
        assert await heard.get() == b"PONG"
        wire.send(pack("QUIT"))
        await wire.lost.wait()
        await asyncio.sleep(0)
        wire.send(pack("PING"))
        await wire.close()
        assert (await heard.get(), heard.qsize()) == (b"OK", 0)

    uvloop.run(broken())
