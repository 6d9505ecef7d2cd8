"""No frame is over 1 MiB in either codec, whatever the text is made of."""

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import entries
from app.core.coalesce import Coalescer
from app.core.errors import QueueFull
from app.core.model import START
from app.core.protocol import FRAME_BYTES, SNAPSHOT_BYTES, Codec, encode, encode_batch, json_bytes
from app.core.questions import Say
from app.edge import frames
from app.state.outcomes import Read
from tests.test_scripts import S, carried, delta, said, sessions


@given(st.text())
def test_the_estimate_of_an_entrys_json_is_never_too_low(text: str) -> None:
    """Control characters, quotes and backslashes grow in JSON."""
    entry = entries.encode(entries.Delta(run="r", text=text))
    assert json_bytes(entry) + 64 >= len(msgspec.json.encode(msgpack.unpackb(entry)))


def test_an_answer_has_no_control_characters() -> None:
    """A terminal would obey them; tabs and line ends stay."""
    coalescer = Coalescer()
    coalescer.add("a\x1b[2J\tb\n\x00c\r\n")
    assert coalescer.take() == ["a\ufffd[2J\tb\n\ufffdc\r\n"]


@pytest.mark.parametrize("character", ["\x01", '"', "é", "漢", "😀", "x"])
async def test_frames_are_bounded(redis_url: str, character: str) -> None:
    """A snapshot with a whole answer, a full queue and long turns; and every batch on the way there."""
    text = character * (32_000 // len(character.encode()))
    answer = ("\ufffd" if character == "\x01" else character) * (16_000 // max(3, len(character.encode())))
    async with sessions(redis_url) as state:
        writer = carried((await said(state)).carry).writer
        refused = 0
        for index in range(10):
            try:
                await state.sessions.say(S, Say(id=f"q{index}", text=text, session="s"), run=f"r{index}", model="m")
            except QueueFull:
                refused += 1
        assert (refused > 0) == (character in '\x01"')
        for count in range(16):
            await state.runs.append(writer, count, [delta("run-m1", answer)])
        snapshot = await state.sessions.snapshot(S)
        limit = (
            FRAME_BYTES if refused else SNAPSHOT_BYTES + 128 * 1024
        )  # what stands beside the turns is never left out
        for codec in Codec:
            assert len(encode(frames.snapshot("s", snapshot), codec)) <= limit
        cursor = START
        while isinstance(read := await state.sessions.read(S, cursor), Read) and read.batch.entries:
            for codec in Codec:
                assert len(encode_batch("s", read.batch, codec)) <= FRAME_BYTES
            cursor = read.batch.at
        assert (await state.sessions.heads([S])) == [cursor]
