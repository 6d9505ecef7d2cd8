"""The chat in a terminal: a real program on a pseudo-terminal, or on pipes, against a real node."""

import asyncio
import io
import os
import pty
import re
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from rich.console import Console

from app.client import connect
from app.client.screen import Screen, settled, visible
from app.core.errors import ModelUnavailable
from tests.cluster.test_tools import Counted
from tests.servers import ROOT, Script, call, free_port, serving, until

SEQUENCE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\x1b[=>]")
ENVIRONMENT = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "LANG": "C.UTF-8", "HOME": "/nonexistent"}
# A session's leader takes the first terminal that it opens as its own, and with that its Ctrl+C.
OWNER = """import os, sys
terminal = os.open(sys.argv[1], os.O_RDWR)
for number in range(3):
    os.dup2(terminal, number)
os.execv(sys.executable, [sys.executable, "-m", "app", *sys.argv[2:]])"""
MARKDOWN = """# Title

Some *words* in a [red]paragraph[/red], a List<String>.

- one
- two

```python
""" + "\n".join(f"line_{number} = {number}" for number in range(60)) + """
```

""" + " ".join(f"word{number}" for number in range(300)) + "\n\nThe end.\n"  # fmt: skip


@dataclass
class Terminal:
    """A program on a terminal, what it printed so far, and how it ended."""

    keys: int
    process: asyncio.subprocess.Process
    printed: bytearray = field(default_factory=bytearray)

    @property
    def raw(self) -> str:
        """All that was printed."""
        return self.printed.decode(errors="replace")

    @property
    def text(self) -> str:
        """All that was printed, without what steers the terminal."""
        return SEQUENCE.sub("", self.raw).replace("\r", "")

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self.keys, keys.encode())

    async def sees(self, text: str) -> None:
        """Wait until this was printed."""
        try:
            await until(lambda: text in self.text)
        except TimeoutError:
            pytest.fail(f"{text!r} was not printed, but {self.text!r}")

    async def prompt(self, count: int = 1) -> None:
        """Wait until the prompt was given this often; readline turns the marking of pastes on with each."""
        await until(lambda: self.raw.count("\x1b[?2004h") >= count)

    def take(self) -> None:
        """Read what there is."""
        try:
            self.printed += os.read(self.keys, 65536)
        except OSError:  # the other side is closed
            asyncio.get_running_loop().remove_reader(self.keys)


@asynccontextmanager
async def terminal(*arguments: str, rows: int = 24, columns: int = 80) -> AsyncIterator[Terminal]:
    """Run `python -m app …` on a terminal of its own."""
    keys, screen = pty.openpty()
    termios.tcsetwinsize(keys, (rows, columns))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OWNER, os.ttyname(screen), *arguments,
        cwd=ROOT, env=ENVIRONMENT, start_new_session=True, stdin=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    opened = Terminal(keys, process)
    loop = asyncio.get_running_loop()
    loop.add_reader(keys, opened.take)
    try:
        yield opened
    finally:
        loop.remove_reader(keys)
        if process.returncode is None:
            process.kill()
        await process.wait()
        os.close(keys)
        os.close(screen)


async def piped(given: bytes, *arguments: str) -> tuple[int | None, str, str]:
    """Run `python -m app …` on pipes; return its exit code and what it printed on both."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app", *arguments, cwd=ROOT, env=ENVIRONMENT, stdin=pipe, stdout=pipe, stderr=pipe
    )
    out, errors = await process.communicate(given)
    return process.returncode, out.decode(), errors.decode()


def steps(model: Script) -> asyncio.Semaphore:
    """The model says its next piece only at each `release`."""
    semaphore = asyncio.Semaphore(0)
    model.gate = semaphore.acquire
    return semaphore


async def test_an_answer_is_seen_as_it_is_written(redis_url: str, model: Script) -> None:
    """The text grows while the model speaks; in the end it says which model and which node answered."""
    model.answers.append(["Once upon ", "a time.\n\nThe ", "end."])
    pieces = steps(model)
    async with serving(redis_url, model) as node, terminal("chat", node.http, "--user", "ada") as here:
        await here.sees("script-1 on node a")
        await here.prompt()
        here.type("Tell me.\r")
        pieces.release()
        await here.sees("Once upon")
        await here.sees("script-1 · node a · Ctrl+C stops")
        assert "a time" not in here.text
        pieces.release()
        await here.sees("a time.")
        assert "end." not in here.text
        pieces.release()
        await here.sees("end.")
        await here.prompt(2)
        assert "script-1 · node a\n" in here.text
        here.type("\x04")
        assert await here.process.wait() == 0


async def test_ctrl_c_stops_the_answer_and_not_the_program(redis_url: str, model: Script) -> None:
    """What was written stands, the model is let go, one goes on; at the prompt it leaves, the terminal as it was."""
    model.answers.append(["So far ", "and further."])
    pieces = steps(model)
    async with serving(redis_url, model) as node, terminal("chat", node.http, "--user", "ada") as here:
        await here.prompt()
        before = termios.tcgetattr(here.keys)[3] | termios.ECHO | termios.ICANON
        here.type("Tell me.\r")
        pieces.release()
        await here.sees("So far")
        here.type("\x03")
        await here.sees("Stopped. What was written stands.")
        await until(lambda: model.closed == 1)
        await here.prompt(2)
        model.gate = None
        here.type("Go on.\r")
        await here.sees("You said: Go on.")
        await here.prompt(3)
        here.type("half a line\x03")
        assert await here.process.wait() == 0
        assert termios.tcgetattr(here.keys)[3] == before


async def test_text_is_text(redis_url: str, model: Script) -> None:
    """Markup in answers, questions and titles is shown to the letter; a control character never gets through."""
    model.answers.append(["[red]x[/red] <b>tag</b> \x1b[31mred\x07 \x9b31m :smile:"])
    hostile = "[bold]q[/bold] \x1b]0;owned\x07 \x1b[31m"
    async with serving(redis_url, model) as node:
        async with connect(node.ws, user="ada") as other:
            await (await other.say(hostile, session="s1")).answer()
            await other.rename("s1", "[u]title[/u]\x1b[31m")
        async with terminal("chat", node.http, "--user", "ada", "--session", "s1") as here:
            await here.sees("[red]x[/red] <b>tag</b>")
            await here.sees(":smile:")
            await here.sees("> [bold]q[/bold]")
            await here.prompt()
            here.type("/sessions\r")
            await here.sees("[u]title[/u]")
            await here.prompt(2)
            here.type("/rename [red]other[/red]\r")
            await here.sees("Renamed.")
            await here.prompt(3)
            async with connect(node.ws, user="ada") as other:
                await other.rename("s1", "again\x1b[31m\x01")
            here.type("/delete\r")
            await here.sees("for good, on every device?")
            assert not re.search(r"\x07|\x1b\]|\x9b|\x1b\[31m", here.raw)


async def test_conversations_are_listed_opened_and_deleted(redis_url: str, model: Script) -> None:
    """By number or by id; what does not exist, and what fails, is told in words."""
    async with serving(redis_url, model) as node, terminal("chat", node.http, "--user", "ada") as here:
        prompts = 0
        for keys, shown in (
            ("/sessions", "None yet."),
            ("First.", "You said: First."),
            ("/new", ""),
            ("Second.", "You said: Second."),
            ("/sessions", "  1* Second."),
            ("/sessions", "  2  First."),
            ("/open 2", "> First."),
            ("/rename Other", "Renamed."),
            ("/sessions", "  2* Other"),
            ("/open a b", "must be 1 to 64 of"),
            ("/new", ""),
            ("/delete", "No conversation is open."),
            ("/nothing", "/nothing does nothing here"),
            (" /said", "You said: /said"),
        ):
            prompts += 1
            await here.prompt(prompts)
            here.type(f"{keys}\r")
            await here.sees(shown)
        await here.prompt(prompts + 1)
        here.type("/delete\r")
        await here.sees("for good, on every device? [y/N]")
        here.type("y\r")
        await here.sees("Deleted.")
        async with connect(node.ws, user="ada") as other:
            assert {one["title"] for one in (await other.list_sessions())["sessions"]} == {"Second.", "Other"}


async def test_what_is_said_elsewhere_is_seen_at_the_prompt(redis_url: str, model: Script) -> None:
    """Above the line that one is typing, which is sent as it was typed."""
    async with (
        serving(redis_url, model) as node,
        terminal("chat", node.http, "--user", "ada", "--session", "s1") as here,
    ):
        await here.sees("Nothing was said in s1 yet.")
        await here.prompt()
        here.type("half ")
        async with connect(node.ws, user="ada") as other:
            await (await other.say("From afar.", session="s1")).answer()
        await here.sees("> From afar.")
        await here.sees("You said: From afar.")
        here.type("whole\r")
        await here.sees("You said: half whole")


async def test_a_lost_connection_is_seen_and_heals(redis_url: str, model: Script) -> None:
    """It says that it reconnects and that nothing is lost, and where it is connected again."""
    port = free_port()
    async with terminal("chat", f"127.0.0.1:{port}", "--user", "ada") as here:
        async with serving(redis_url, model, "a", port=port):
            await here.prompt()
        await here.sees("reconnecting, nothing is lost")
        async with serving(redis_url, model, "b", port=port):
            await here.sees("connected to node b")
            here.type("Hello.\r")
            await here.sees("You said: Hello.")
            await here.sees("script-1 · node b")


async def test_lines_from_a_pipe_are_answered_plainly(redis_url: str, model: Script) -> None:
    """Answers alone on the standard output, in order, without escape codes; the end of the input is the end."""
    async with serving(redis_url, model, trial=True) as node:
        code, out, errors = await piped(
            b"First.\n\nSec\xffond.\nThird [red]x[/red]", "chat", node.http, "--user", "ada"
        )
    assert out == "You said: First.\nYou said: Sec\ufffdond.\nYou said: Third [red]x[/red]\n"
    assert errors.count("script-1 · node a\n") == 3
    assert "It is only for trying out" in errors
    assert "\x1b" not in out + errors
    assert code == 0


async def test_a_pipe_learns_of_failures(redis_url: str, model: Script) -> None:
    """An answer that failed makes the exit code 1; so does a node that is not there. Both are told in words."""
    model.takeover = "fail"
    model.answers.append(["So far ", ModelUnavailable("no")])
    async with serving(redis_url, model) as node:
        code, out, errors = await piped(b"Tell me.\n", "chat", node.http, "--user", "ada")
        assert (code, out) == (1, "So far \n")
        assert "This answer failed: the model could not be reached (model_unavailable)." in errors
        code, out, errors = await piped(b"Tell me.\n", "chat", node.http, "--user", "a b")
        assert (code, out) == (1, "")
        assert "cannot be a name" in errors
    addresses = (f"http://127.0.0.1:{free_port()}", "ftp://x", "http://[")
    tried = [piped(b"Tell me.\n", "chat", address, "--user", "ada") for address in addresses]
    for code, out, errors in await asyncio.gather(*tried):
        assert (code, out) == (1, "")
        assert "no node answers at" in errors or "is no address of a node" in errors
        assert "Traceback" not in errors


async def test_a_log_is_followed_line_by_line(redis_url: str, model: Script) -> None:
    """One line an entry, in order; what was said before comes first; no character of it steers a terminal."""
    pipe = asyncio.subprocess.PIPE
    model.answers.append(["Once\n", "\x1b[31m"])
    async with serving(redis_url, model) as node, connect(node.ws, user="ada") as other:
        await (await other.say("Before.", session="s1")).answer()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "app",
            "tail",
            "s1",
            node.http,
            "--user",
            "ada",
            cwd=ROOT,
            env=ENVIRONMENT,
            stdout=pipe,
        )
        assert process.stdout is not None
        lines = [(await process.stdout.readline()).decode() for _ in range(2)]
        assert [line.split()[1] for line in lines] == ["user", "assistant"]
        await (await other.say("After \x1b[31m.", session="s1")).answer()
        while " end " not in lines[-1]:
            lines.append((await process.stdout.readline()).decode())
        kinds = [line.split()[1] for line in lines[2:]]
        assert list(dict.fromkeys(kinds)) == ["turn", "run", "delta", "end"]
        assert "text='Before.'" in lines[0]
        assert "state='done'" in lines[-1]
        assert not any(c in line for line in lines for c in "\x1b\x07")
        process.terminate()
        await process.wait()


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (30, 8), (12, 5)])
@pytest.mark.parametrize("step", [7, 1000])
def test_an_answer_stands_once_on_any_screen(columns: int, rows: int, step: int) -> None:
    """However it grew, and however long it is: what remains is what would have been printed at once."""

    def shown(cuts: list[int]) -> list[str]:
        out = io.StringIO()
        console = Console(file=out, force_terminal=True, color_system=None, width=columns, height=rows, _environ={})
        screen = Screen(console)
        for cut in cuts:
            screen.grow(MARKDOWN[:cut], "script-1 · node a · Ctrl+C stops")
        screen.finish(MARKDOWN)
        return standing(out.getvalue(), rows)

    grown = shown(list(range(0, len(MARKDOWN), step)))
    assert shown([]) == grown
    assert [f"line_{number}" for number in range(60)] == re.findall(
        r"line_\d+(?= |$)", "\n".join(grown)
    ) or columns < 30
    assert not any("Ctrl+C" in row for row in grown)


def test_an_answer_that_begins_again_is_shown_again() -> None:
    """A node that takes over may drop what stood: it is told, and the whole follows."""
    out = io.StringIO()
    screen = Screen(Console(file=out, force_terminal=True, color_system=None, width=60, height=20, _environ={}))
    screen.grow("First.\n\nSecond.\n\nThi", "")
    screen.grow("", "")
    screen.finish("Other.")
    rows = [row for row in standing(out.getvalue(), 20) if row]
    assert rows == ["First.", "Second.", "Another node begins this answer again.", "Other."]


def test_only_line_feeds_and_tabs_steer() -> None:
    """Every other control character, and what turns the direction of reading, is shown or dropped."""
    every = "".join(map(chr, range(0x100))) + "\u202e\u2066 漢字 👩‍👩‍👧"
    kept = [c for c in visible(every) if not c.isprintable() and c not in "\xa0\xad\u200d"]
    assert kept == ["\t", "\n"]
    assert visible("漢字 👩‍👩‍👧 é") == "漢字 👩‍👩‍👧 é"


def test_the_last_block_is_not_settled() -> None:
    """Nothing that stands can change: all blocks but the last, whatever a block is."""
    assert settled("") == settled("One line") == settled("- a\n- b\n\n  c") == settled("```\nx\n\ny") == 0
    assert "One.\n\nTwo."[: settled("One.\n\nTwo.")] == "One.\n\n"
    assert "- a\n\n```\nx\n```\nT"[: settled("- a\n\n```\nx\n```\nT")] == "- a\n\n```\nx\n```\n"


def standing(printed: str, rows: int) -> list[str]:
    """What stands on a terminal that is `rows` high, and above it: as much of one as `Screen` makes use of."""
    lines, row, column, position = [""], 0, 0, 0
    while position < len(printed):
        if sequence := SEQUENCE.match(printed, position):
            position = sequence.end()
            number, verb = sequence.groups()
            if verb == "A":
                row = max(row - int(number or 1), len(lines) - rows, 0)
            elif verb == "K":
                lines[row] = ""
            else:
                assert verb in ("h", "l", "m")
            continue
        match printed[position]:
            case "\r":
                column = 0
            case "\n":
                row, column = row + 1, 0
                lines += [""] * (row + 1 - len(lines))
            case character:
                lines[row] = lines[row][:column].ljust(column) + character + lines[row][column + 1 :]
                column += 1
        position += 1
    while lines and not lines[-1].strip():
        lines.pop()
    return [line.rstrip() for line in lines]


async def test_a_call_is_allowed_at_the_prompt(redis_url: str, model: Script) -> None:
    """The answer waits, says for what, and goes on when one allows it; denied, it is told so."""
    wanted = call("pay", {"euros": 5})
    model.answers.extend([["Shall I?", wanted], ["Paid."], ["Again?", wanted], ["Not paid."]])
    tools = Counted()
    async with (
        serving(redis_url, model, tools=tools.tools) as served,
        terminal("chat", served.http, "--user", "ada") as shown,
    ):
        await shown.sees("script-1 on node a")
        await shown.prompt()
        shown.type("Pay.\r")
        await shown.sees("It wants to call pay {'euros': 5}. /allow or /deny")
        await shown.prompt(2)
        shown.type("/allow\r")
        await shown.sees("Paid.")
        await shown.prompt(3)
        shown.type("Pay more.\r")
        await until(lambda: shown.text.count("/allow or /deny") == 2)
        await shown.prompt(4)
        shown.type("/deny\r")
        await shown.sees("Not paid.")
        await shown.prompt(5)
        shown.type("/deny\r")
        await shown.sees("Nothing waits for you.")
        assert [name for name, _ in tools.calls] == ["pay"]
