"""A chat in the terminal: answers stream as Markdown, Ctrl+C stops one, a lost connection is seen and heals."""

import asyncio
import signal
import sys
from typing import Final
from urllib.parse import urlsplit

from rich.console import Console
from rich.live import Live
from rich.markdown import Markdown
from rich.text import Text

from app.client.chat import Chat, connect
from app.client.link import Refused
from app.client.session import Said
from app.core.errors import ChatError

FRAMES_PER_SECOND: Final = 12
HELP: Final = "/new  /sessions  /open SESSION  /rename TITLE  /delete  /quit — Ctrl+C stops an answer"


async def chat(url: str, *, user: str, session: str | None) -> int:
    """Chat until /quit or the end of input; return the exit code."""
    console = Console()
    try:
        async with connect(_socket(url), user=user) as link:
            await link.ping()
            console.print(Text(f"{link.welcome['models'][0]} on node {link.welcome['node']}. {HELP}", style="dim"))
            await _converse(link, console, session)
    except Refused as refused:
        console.print(f"[red]{refused}[/red]")
        return 1
    return 0


async def tail(url: str, *, user: str, session: str) -> int:
    """Print each entry of a session as it comes, until interrupted; return the exit code."""
    try:
        async with connect(_socket(url), user=user) as link:
            opened = await link.open(session)
            for turn in opened.transcript.turns:
                print(f"{turn['at']} {turn['role']}: {turn['text']}", flush=True)
            async for frame in opened.follow():
                for entry in frame.get("entries", ()):
                    fields = " ".join(f"{key}={value!r}" for key, value in entry.items() if key != "kind")
                    print(f"{frame['at']} {entry['kind']} {fields}", flush=True)
    except Refused as refused:
        print(refused, file=sys.stderr)
        return 1
    return 0


async def _converse(link: Chat, console: Console, session: str | None) -> None:
    while True:
        try:
            line = (await asyncio.to_thread(console.input, "[bold]> [/bold]")).strip()
        except EOFError:
            return
        try:
            match line.split(maxsplit=1):
                case []:
                    continue
                case ["/quit"]:
                    return
                case ["/new"]:
                    session = None
                case ["/sessions"]:
                    for one in (await link.list_sessions())["sessions"]:
                        console.print(Text(f"{one['id']}  {one['title']}  ({one['state']})"))
                case ["/open", wanted]:
                    session = wanted
                    for turn in (await link.open(session)).transcript.turns:
                        console.print(
                            Text("> " + turn["text"], style="bold")
                            if turn["role"] == "user"
                            else Markdown(turn["text"])
                        )
                case ["/rename", title] if session:
                    await link.rename(session, title)
                case ["/delete"] if session:
                    await link.delete(session)
                    session = None
                case [word, *_] if word.startswith("/"):
                    console.print(Text(HELP, style="dim"))
                case _:
                    said = await link.say(line, session=session)
                    session = said.session.id
                    await _show(link, console, said)
        except ChatError as error:
            console.print(Text(f"{error.message} ({error.code})", style="red"))


async def _show(link: Chat, console: Console, said: Said) -> None:
    """Show an answer as it grows; Ctrl+C stops it."""
    loop, stops = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGINT, stops.set)
    stopping = asyncio.create_task(_stop(link, said, stops))
    try:
        with Live(console=console, refresh_per_second=FRAMES_PER_SECOND, vertical_overflow="visible") as live:
            answer = asyncio.create_task(said.answer())
            while not answer.done():
                running = said.session.transcript.run
                text = running.text if running is not None and running.id == said.run else ""
                live.update(Markdown(text) if link.connected else Text("reconnecting, nothing is lost …", style="dim"))
                await asyncio.wait([answer], timeout=1 / FRAMES_PER_SECOND)
            turn = answer.result()
            live.update(Markdown(turn["text"]))
        if turn.get("state"):
            console.print(Text(f"{turn['state']} {turn.get('code', '')}".strip(), style="dim"))
    except LookupError as error:
        console.print(Text(str(error), style="dim"))
    finally:
        stopping.cancel()
        loop.remove_signal_handler(signal.SIGINT)


async def _stop(link: Chat, said: Said, stops: asyncio.Event) -> None:
    await stops.wait()
    await link.stop(said.session.id, said.run)


def _socket(url: str) -> str:
    """The WebSocket's address of a node that is at `url`."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    return f"{'wss' if parts.scheme in ('https', 'wss') else 'ws'}://{parts.netloc}/ws"
