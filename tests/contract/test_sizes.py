"""No frame is larger than the contract says, whatever it holds: a client that gets a larger one leaves for good."""

import pytest

from app.core.protocol import Codec
from tests.contract.wire import wired
from tests.servers import Script, serving

SNAPSHOT, FRAME = 512 * 1024, 1024 * 1024
WIDE = "語" * 10_900  # 32 KiB of UTF-8
CONTROL = "\x01" * 32_000  # a byte each, and six in JSON
QUOTES = '"' * 32_000  # a byte each, and two in JSON


@pytest.mark.parametrize("text", ["x" * 32_000, WIDE, QUOTES, CONTROL], ids=["ASCII", "wide", "quotes", "control"])
async def test_a_long_session(redis_url: str, model: Script, text: str) -> None:
    """The newest turns that fit, and `more`; from a cursor batch by batch, from a turn page by page; in both codecs."""
    async with serving(redis_url, model) as served:
        async with wired(served, Codec.MSGPACK) as wire:
            for number in range(10):
                await wire.said(f"m{number}", text)
        for codec in Codec:
            async with wired(served, codec) as wire:
                await wire.ok("open", session="s")
                snapshot = await wire.find("snapshot")
                assert snapshot["more"]
                assert snapshot["turns"][-1]["text"] == "You said: " + text
                assert wire.largest <= SNAPSHOT
                page = await wire.ok("history", session="s", limit=100)
                assert page["more"]
                assert page["turns"][-1]["text"] == "You said: " + text
                at = (await wire.ok("open", session="s", cursor="0-0"))["at"]
                while (await wire.find("batch"))["at"] != at:
                    assert wire.largest <= FRAME
                assert wire.largest <= FRAME


@pytest.mark.parametrize("text", ["x" * 32_000, WIDE, QUOTES], ids=["ASCII", "wide", "quotes"])
async def test_a_long_queue(redis_url: str, model: Script, text: str) -> None:
    """What runs and all that waits is shown, and turns give way to it; in both codecs."""
    async with serving(redis_url, model) as served:
        async with wired(served, Codec.MSGPACK) as wire:
            for number in range(5):
                await wire.said(f"m{number}", text)
            model.answers.append([text, text, 60.0])
            for number in range(11):
                await wire.ok("say", session="s", id=f"q{number}", text=text)
            while not any(entry["kind"] == "delta" for entry in (await wire.find("batch", session="s"))["entries"]):
                pass
        for codec in Codec:
            async with wired(served, codec) as wire:
                await wire.ok("open", session="s")
                snapshot = await wire.find("snapshot")
                assert [f"q{number}" for number in range(1, 11)] == [waiting["id"] for waiting in snapshot["queued"]]
                # JSON writes a quote as two bytes: there the queue alone is more than a snapshot should be
                assert wire.largest <= (FRAME if codec is Codec.JSON and text is QUOTES else SNAPSHOT)
