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
    answer = "You said: " + text.replace("\x01", "\ufffd")  # no control characters in an answer
    async with serving(redis_url, model) as served:
        async with wired(served, Codec.MSGPACK) as wire:
            for number in range(10):
                await wire.said(f"m{number}", text)
        for codec in Codec:
            async with wired(served, codec) as wire:
                await wire.ok("open", session="s")
                snapshot = await wire.find("snapshot")
                assert snapshot["more"]
                assert snapshot["turns"][-1]["text"] == answer
                assert wire.largest <= SNAPSHOT
                page = await wire.ok("history", session="s", limit=100)
                assert page["more"]
                assert page["turns"][-1]["text"] == answer
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
            replies = [await wire.ask("say", session="s", id=f"q{number}", text=text) for number in range(11)]
            taken = [f"q{number}" for number, reply in enumerate(replies) if reply["type"] == "ok"]
            assert {reply["code"] for reply in replies if reply["type"] == "error"} <= {"queue_full"}
            assert len(taken) == 11 or text is QUOTES  # of which ten would be more than a snapshot, in JSON
            while not any(entry["kind"] == "delta" for entry in (await wire.find("batch", session="s"))["entries"]):
                pass
        for codec in Codec:
            async with wired(served, codec) as wire:
                await wire.ok("open", session="s")
                snapshot = await wire.find("snapshot")
                assert taken[1:] == [waiting["id"] for waiting in snapshot["queued"]] != []
                assert wire.largest <= (FRAME if text is QUOTES else SNAPSHOT)  # what may not give way is more
