"""The road of a message, over two nodes."""

import asyncio
import hashlib

from app.client import connect
from tests.servers import Script, two


async def test_an_answer_made_on_a_is_seen_on_b_delta_by_delta(redis_url: str, model: Script) -> None:
    """A reader on another node sees each delta, in order, and the text whose SHA-256 the end tells."""
    words = [f"word-{index} " for index in range(20)]
    step = asyncio.Semaphore(0)
    model.gate = step.acquire
    model.answers.append(list(words))
    async with (
        two(redis_url, model) as (a, b),
        connect(a.ws, user="ada") as speaker,
        connect(b.ws, user="ada", codec="chat.v1.json") as reader,
    ):
        session = await reader.open("s")
        said = await speaker.say("Count.", session="s")
        seen: list[str] = []
        for word in words[:-1]:
            step.release()
            seen.append(word)
            await session.until(lambda: session.transcript.run and session.transcript.run.text == "".join(seen))
        step.release()  # the last word leaves with the end, in one step
        turn = await said.answer()
        await session.until(lambda: session.turn(said.run))
        assert turn["text"] == "".join(words)
        assert session.ends[said.run]["sha256"] == hashlib.sha256(turn["text"].encode()).hexdigest()
        assert session.turn(said.run) == turn
        assert session.transcript.wire()["turns"] == said.session.transcript.wire()["turns"]
        assert (reader.differs, speaker.differs) == (0, 0)
