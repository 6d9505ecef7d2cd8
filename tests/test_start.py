"""What a start needs and does not find is one line that says what to do; what it finds it prints; it leaves nothing.

`Box` is a machine of one test's own, as far as processes can tell: a HOME, a data folder, and all that runs in them.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from app.client import connect
from app.core.protocol import Frame
from tests.servers import ROOT, free_port, until, upstream

SECONDS = 30.0


@dataclass
class Started:
    """A process: what it says, so far."""

    process: subprocess.Popen[bytes]
    words: Path
    errors: Path

    @property
    def out(self) -> str:
        """What it printed."""
        return self.words.read_text()

    @property
    def err(self) -> str:
        """What it printed on stderr, without the log's lines, which begin with a date."""
        return "".join(line for line in self.errors.read_text().splitlines(True) if not line.startswith("20"))

    async def ended(self) -> int:
        """Wait for its end and return its exit code."""
        await until(lambda: self.process.poll() is not None, SECONDS)
        return self.process.returncode

    async def serves(self, count: int = 1) -> None:
        """Wait until it, or so many nodes of it, have said where they are open."""
        await until(lambda: self.out.count("\n  open  ") >= count or self.process.poll() is not None, SECONDS)
        assert self.process.poll() is None, self.errors.read_text()

    def kill(self) -> None:
        """End it as the kernel would, when memory is short."""
        self.process.kill()
        self.process.wait()


@dataclass
class Box:
    """A machine of one test's own."""

    home: Path
    started: list[Started] = field(default_factory=list)

    @property
    def data(self) -> Path:
        """Where its embedded state and its local model's server live."""
        return self.home / "data"

    def start(self, *flags: str, **environ: str) -> Started:
        """Start `python -m app`, with an environment of its own only."""
        return self.run([sys.executable, "-m", "app", *flags], **environ)

    def python_without(self, *packages: str) -> list[str]:
        """A Python that has all packages of this one but some: its command line."""
        folder = self.home / "site"
        folder.mkdir()
        for path in {Path(sysconfig.get_path(kind)) for kind in ("purelib", "platlib")}:
            for package in path.iterdir():
                if package.name not in packages:
                    (folder / package.name).symlink_to(package)
        return [str(shutil.which("env")), f"PYTHONPATH={folder}", sys.executable, "-S"]

    def run(self, command: list[str], **environ: str) -> Started:
        """Start any command, with an environment of its own only."""
        told = {"PATH": os.environ["PATH"], "HOME": str(self.home), "DATA_DIR": str(self.data)} | environ
        name = f"{len(self.started)}"
        with (self.home / f"{name}.out").open("wb") as out, (self.home / f"{name}.err").open("wb") as err:
            process = subprocess.Popen(
                command, cwd=ROOT, env=told, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
            )
        self.started.append(Started(process, self.home / f"{name}.out", self.home / f"{name}.err"))
        return self.started[-1]

    @asynccontextmanager
    async def serving(self, *flags: str, **environ: str) -> AsyncIterator[tuple[Started, int]]:
        """Serve, and stop with SIGTERM, unless the test has ended it; yield it and its port."""
        port = int(environ.pop("PORT", free_port()))
        started = self.start(*flags, PORT=str(port), **environ)
        await started.serves()
        yield started, port
        if started.process.poll() is None:
            started.process.terminate()
            assert await started.ended() == 0, started.errors.read_text()

    def pids(self) -> list[int]:
        """All processes that have this HOME, or work in a folder of it."""
        found = []
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                pid = int(folder.name)
                told = (folder / "environ").read_bytes().split(b"\0")
                if f"HOME={self.home}".encode() in told or self.home in (folder / "cwd").readlink().parents:
                    found.append(pid)
        return found


@contextmanager
def box(home: Path) -> Iterator[Box]:
    """Have a machine; at the end no process of it is left."""
    made = Box(home)
    try:
        yield made
    except BaseException:
        _end(made)
        raise
    assert _end(made) == []


def _end(made: Box) -> list[str]:
    """End what is left of a machine; return what that was."""
    left = []
    for pid in made.pids():
        with contextlib.suppress(OSError):
            left.append(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode())
            os.kill(pid, signal.SIGKILL)
    for started in made.started:
        started.process.wait()
    return left


async def asked(port: int, text: str, session: str = "s", cookie: str | None = None) -> Frame:
    """Say something to the node at a port, and return its answer's turn."""
    url = f"ws://127.0.0.1:{port}/ws"
    async with connect(url, user=None if cookie else "ada", cookie=cookie) as chat:
        async with asyncio.timeout(SECONDS):
            return await (await chat.say(text, session=session)).answer()


Answer = Callable[[bytes], bytes]


@asynccontextmanager
async def answering(answer: Answer, port: int = 0) -> AsyncIterator[int]:
    """Run a server that answers each request of a connection with what `answer` gives; yield its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError), contextlib.closing(writer):
            while request := await reader.read(65_536):
                writer.write(answer(request))
                await writer.drain()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def http(status: str, body: str, kind: str = "application/json") -> Answer:
    """Answer every HTTP request alike."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body.encode())}\r\n\r\n"
    return lambda request: (head + body).encode()


def old_redis(request: bytes) -> bytes:
    """Answer as a Redis 6.2 would, to as many commands as came at once."""
    answers = b""
    for command in request.split(b"\r\n*"):
        info = b"# Server\r\nredis_version:6.2.0\r\nmaxmemory_policy:noeviction\r\n"
        answers += b"$%d\r\n%s\r\n" % (len(info), info) if b"\r\nINFO\r\n" in command else b"-ERR unknown command\r\n"
    return answers


async def refused(machine: Box, *flags: str, **environ: str) -> str:
    """Start what cannot work; return the one line that it says, with the exit code 2."""
    started = machine.start(*flags, **({"PORT": str(free_port())} | environ))
    code = await started.ended()
    assert (code, started.out, started.err.count("\n")) == (2, "", 1), started.errors.read_text()
    return started.err


@contextmanager
def real_redis(home: Path, *flags: str) -> Iterator[str]:
    """Run a real Redis with these flags; yield HOST:PORT."""
    port = free_port()
    process = subprocess.Popen(
        ["redis-server", "--port", str(port), "--save", "", "--dir", str(home), *flags], stdout=subprocess.DEVNULL
    )
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def answers(url: str) -> None:
    """Return when a Redis answers; redis-py's own retries wait for it."""
    with redis.Redis.from_url(url, retry=Retry(ConstantBackoff(0.05), 200)) as client:
        client.ping()


async def test_it_prints_what_it_runs_on_and_where_to_click(tmp_path: Path) -> None:
    """The node, its state and where that is kept, the model and where it is, the address."""
    with box(tmp_path) as machine:
        async with upstream() as up, machine.serving("serve", "--node", "n", OPENAI_BASE_URL=up.url) as (node, port):
            name, state, model, address = node.out.splitlines()
            assert name == "chat: node n"
            assert state.startswith("  state Valkey ")
            assert state.endswith(f", embedded in {machine.data}")
            assert (model, address) == (f"  model up-1 at {up.url}/", f"  open  http://127.0.0.1:{port}")
            assert (await asked(port, "Hello there"))["text"] == "Hello there "
            taken = await refused(machine, PORT=str(port), OPENAI_BASE_URL=up.url)
            assert taken.startswith(f"chat: PORT {port} on HOST 127.0.0.1 cannot be taken: Address already in use")
        assert node.err == ""


async def test_a_data_folder_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    """It names DATA_DIR and what is wrong with it: a file, or under one; nothing is left running."""
    (tmp_path / "file").write_text("")
    with box(tmp_path) as machine:
        folders = [tmp_path / "file", tmp_path / "file" / "deeper" / "data"]
        lines = await asyncio.gather(*(refused(machine, DATA_DIR=str(data)) for data in folders))
        assert [f"chat: DATA_DIR {data} cannot be used: Not a directory; set another\n" for data in folders] == lines


async def test_no_disk_is_one_line(tmp_path: Path) -> None:
    """A full disk under DATA_DIR: it says so, and leaves no server that it had begun to start."""
    full = 'mount -t tmpfs -o size=8k full "$DATA_DIR" && head -c 8192 /dev/zero > "$DATA_DIR/x"; exec "$@"'
    with box(tmp_path) as machine:
        machine.data.mkdir()
        command = ["unshare", "--mount", "--map-root-user", "sh", "-c", full, "sh", sys.executable, "-m", "app"]
        started = machine.run(command, PORT=str(free_port()))
        assert await started.ended() == 2
        line = f"chat: DATA_DIR {machine.data} cannot be used: No space left on device; set another\n"
        assert started.err == line


async def test_an_old_redis_is_one_line(tmp_path: Path) -> None:
    """It names the version that is there and the one that is needed."""
    with box(tmp_path) as machine:
        async with answering(old_redis) as port:
            line = await refused(machine, REDIS_URL=f"redis://127.0.0.1:{port}/0", OPENAI_API_KEY="k")
            assert line == (
                "chat: REDIS_URL: this is redis 6.2.0; expected Redis 7.0 or Valkey 8, or later: 7.0 at least\n"
            )


async def test_a_redis_that_evicts_is_one_line_and_unfit(tmp_path: Path) -> None:
    """It says what would be lost, and the command that mends it; `check` says the same and ends with 1."""
    words = (
        "REDIS_URL: its maxmemory-policy is allkeys-lru, so it would drop chats when memory is short; "
        "expected noeviction: redis-cli CONFIG SET maxmemory-policy noeviction\n"
    )
    with box(tmp_path) as machine, real_redis(tmp_path, "--maxmemory-policy", "allkeys-lru") as where:
        answers(f"redis://{where}")
        url = f"redis://{where}/0"
        assert await refused(machine, REDIS_URL=url, OPENAI_API_KEY="k") == f"chat: {words}"
        checked = machine.start("check", REDIS_URL=url, OPENAI_API_KEY="k", MODEL_NAME="m")
        assert (await checked.ended(), checked.out, checked.err) == (1, f"wrong {words}", "")


async def test_a_wrong_redis_password_is_one_line(tmp_path: Path) -> None:
    """A wrong one, none, a wrong user's: it says so, and does not say the password."""
    urls = ["redis://:wrong@{}/0", "redis://{}/0", "redis://nobody:right@{}/0"]
    with box(tmp_path) as machine, real_redis(tmp_path, "--requirepass", "right") as where:
        answers(f"redis://:right@{where}")
        lines = await asyncio.gather(
            *(refused(machine, REDIS_URL=url.format(where), OPENAI_API_KEY="k") for url in urls)
        )
        for line, why in zip(lines, ["invalid username", "Authentication required", "invalid username"], strict=True):
            assert line.startswith(f"chat: REDIS_URL: the password is missing or wrong ({why}")
            assert not any(password in line for password in (":wrong", "right"))


async def test_a_redis_address_that_is_none_is_one_line(tmp_path: Path) -> None:
    """Its port is no number."""
    with box(tmp_path) as machine:
        line = await refused(machine, REDIS_URL="redis://127.0.0.1:port/0", OPENAI_API_KEY="k")
        assert line.startswith("chat: REDIS_URL cannot be read (")


async def test_an_upstream_that_has_no_models_for_us_is_one_line(tmp_path: Path) -> None:
    """It says where it looked, and which setting to mend; not the key. The state that was started is stopped."""
    key, url = "Set OPENAI_API_KEY right", "Set OPENAI_BASE_URL right"
    expected = [
        (key, http("401 No", '{"error": {"message": "Incorrect API key provided"}}')),
        (url, http("502 No", "<html>\n<h1>Bad\nGateway</h1>\n</html>", "text/html")),
        (url, http("200 OK", "<html>\n<h1>A page</h1>\n</html>", "text/html")),
        (url, http("200 OK", '{"data": []}')),
    ]
    with box(tmp_path) as machine:
        await asyncio.gather(*(_no_models(machine, answer, do) for do, answer in expected))


async def _no_models(machine: Box, answer: Answer, do: str) -> None:
    async with answering(answer) as port:
        url = f"http://127.0.0.1:{port}/v1"
        line = await refused(machine, OPENAI_BASE_URL=url, OPENAI_API_KEY="sk-secret")
    assert line.startswith(f"chat: no model found at {url}/: ")
    assert do in line
    assert "sk-secret" not in line


async def test_an_upstream_that_is_not_there_is_one_line_and_unfit(tmp_path: Path) -> None:
    """At the start where it is asked for its models; `check` asks it for an answer too."""
    url = f"http://127.0.0.1:{free_port()}/v1"
    with box(tmp_path) as machine:
        checked = machine.start("check", OPENAI_BASE_URL=url, MODEL_NAME="m")
        line = await refused(machine, OPENAI_BASE_URL=url)
        assert line.startswith(f"chat: no model found at {url}/: Connection error.")
        assert await checked.ended() == 1
        assert checked.out.splitlines()[-1].startswith("wrong the model cannot be reached")
        assert checked.err == ""


async def test_with_a_wrong_key_and_a_model_named_a_run_fails_honestly(tmp_path: Path) -> None:
    """Nobody is asked at the start, so it starts; the answer's turn is failed, and says that the model is to blame."""
    with box(tmp_path) as machine:
        async with (
            answering(http("401 No", '{"error": {"message": "Incorrect API key"}}')) as port,
            machine.serving(
                OPENAI_BASE_URL=f"http://127.0.0.1:{port}/v1", OPENAI_API_KEY="sk-secret", MODEL_NAME="m"
            ) as (node, own),
        ):
            turn = await asked(own, "Well?")
            assert [turn.get(name) for name in ("state", "code", "model")] == ["failed", "model_unavailable", "m"]
            assert "sk-secret" not in node.errors.read_text()


async def test_guests_from_elsewhere_are_let_in_only_on_purpose(tmp_path: Path) -> None:
    """HOST=0.0.0.0 without a login: one line that names AUTH and ALLOW_GUESTS. So is the Procfile's line."""
    commands = [[], ["serve", "--workers", "2"], ["cluster"], procfile(free_port())]
    with box(tmp_path) as machine:
        for line in await asyncio.gather(*(refused(machine, *flags, HOST="0.0.0.0") for flags in commands)):
            assert line.startswith("chat: HOST is '0.0.0.0', and AUTH is guest: ")
            assert "ALLOW_GUESTS=1" in line
        assert not machine.data.exists()


def procfile(port: int) -> list[str]:
    """What the Procfile's line gives to `python -m app`."""
    line = (ROOT / "Procfile").read_text().strip()
    assert line == "web: python -m app serve --host 0.0.0.0 --port $PORT"
    return line.removeprefix("web: python -m app ").replace("$PORT", str(port)).split()


async def test_the_procfile_serves_where_guests_are_allowed(tmp_path: Path) -> None:
    """Its line, with what a platform gives it."""
    port = free_port()
    with box(tmp_path) as machine:
        async with (
            upstream() as up,
            machine.serving(*procfile(port), PORT=str(port), ALLOW_GUESTS="1", OPENAI_BASE_URL=up.url) as (node, _),
        ):
            assert f"\n  open  http://0.0.0.0:{port}\n" in node.out
            assert (await asked(port, "Hello", cookie=f"chat_guest={'g' * 22}"))["text"] == "Hello "


async def test_check_says_that_all_is_fit(tmp_path: Path) -> None:
    """A line each for state, policy, latency, clock, model and a first answer; 0; nothing is left running."""
    with box(tmp_path) as machine:
        async with upstream() as up:
            checked = machine.start("check", OPENAI_BASE_URL=up.url)
            assert (await checked.ended(), checked.err) == (0, "")
        lines = checked.out.splitlines()
        heads = ["ok    state    ", "ok    policy   ", "ok    latency  ", "ok    clock    ", "ok    model    ",
                 "ok    answer   "]  # fmt: skip
        assert [line[:15] for line in lines] == heads
        assert lines[0].endswith(", append-only file on")
        assert lines[4] == f"ok    model    up-1 at {up.url}/"


async def test_a_start_that_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    """SIGTERM while it waits for its upstream, with the state already there."""
    with box(tmp_path) as machine, socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        started = machine.start(PORT=str(free_port()), OPENAI_BASE_URL=url)
        silent.setblocking(False)
        connection, _ = await asyncio.get_running_loop().sock_accept(silent)
        assert (machine.data / "state" / "pid").exists()
        started.process.terminate()
        assert (await started.ended(), started.err) == (130, "")
        connection.close()
