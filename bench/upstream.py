"""A fake upstream: a real HTTP stream of chat completions, cheap and on time. `python -m bench.upstream PORT`.

It says what `tokens.Ask` in the last message asks for, as OpenAI does: chunked server-sent events, one chunk of about
300 bytes a token, first the role, last the `finish_reason` and the usage. All streams are paced by one heap of due
times and one timer of the kernel (asyncio's own are a millisecond coarse), which rings at most every 200 µs.
`GET /stats` tells how late tokens were written since it was last asked: then the figures are the upstream's and not
the system's.
"""

import asyncio
import contextlib
import ctypes
import heapq
import json
import os
import sys
import time
from array import array
from typing import Any, Final, cast

import msgspec
import uvloop

from bench.tokens import TICKS, WRAP, Ask, ticks, token

TICK_NS: Final = 1_000_000_000 // TICKS
GAP: Final = 20  # ticks: it wakes at most every 200 µs
ABSOLUTE: Final = 1  # TFD_TIMER_ABSTIME
HEAD: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
    b"x-request-id: req_2f6c1f0a\r\nTransfer-Encoding: chunked\r\n\r\n"
)


class Alarm:
    """A timer of the kernel, exact to some 50 µs, as a file to watch."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.file: int = self._libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self.file < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")

    def set(self, at: int) -> None:
        """Ring at that tick."""
        seconds, rest = divmod(at * TICK_NS, 1_000_000_000)
        told = (ctypes.c_long * 4)(0, 0, seconds, rest)
        if self._libc.timerfd_settime(self.file, ABSOLUTE, ctypes.byref(told), None):
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def rung(self) -> None:
        """Take note that it rang."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.file, 8)


class Stream:
    """One answer under way."""

    __slots__ = ("_after", "_before", "_file", "ask", "due", "left", "transport", "usage")

    def __init__(self, ask: Ask, transport: asyncio.WriteTransport, number: int, *, usage: bool) -> None:
        self.ask = ask
        self.due = ask.first(ticks())
        self.left = ask.count
        self.transport = transport
        self.usage = usage
        chunk = self._chunk(number, {"content": token(0)}, None)
        before, after = chunk.split(token(0).encode())
        self._before, self._after = before, after
        self._file: int = transport.get_extra_info("socket").fileno()
        transport.write(HEAD + self._chunk(number, {"role": "assistant", "content": "", "refusal": None}, None))

    def write(self) -> None:
        """Write the token that is due, and what ends the answer after the last."""
        self._send(b"%b%08d %b" % (self._before, self.due % WRAP, self._after))
        self.due += self.ask.interval
        self.left -= 1
        if self.left == 0:
            end = self._chunk(0, {}, "stop")
            if self.usage:
                count = {"prompt_tokens": 5, "completion_tokens": self.ask.count, "total_tokens": 5 + self.ask.count}
                end += self._chunk(0, None, None, usage=count)
            self.transport.write(end + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")

    def _send(self, data: bytes) -> None:
        """Write past the transport, which is cheaper, where that holds nothing back."""
        if self.transport.get_write_buffer_size() == 0:
            with contextlib.suppress(OSError):  # full, or gone: the transport knows what to do
                data = data[os.write(self._file, data) :]
        if data:
            self.transport.write(data)

    @staticmethod
    def _chunk(number: int, delta: dict[str, Any] | None, finish: str | None, **more: Any) -> bytes:
        choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
        body = {
            "id": f"chatcmpl-CqH2{number:025d}", "object": "chat.completion.chunk", "created": 1795513876,
            "model": "up-1", "service_tier": "default", "system_fingerprint": "fp_44709d6fcb",
            "choices": choices if delta is not None else [], "usage": None, "obfuscation": "Yk3xUv9",
        } | more  # fmt: skip
        event = b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"
        return b"%x\r\n%b\r\n" % (len(event), event)


class Upstream:
    """All answers under way, in the order of what is due next."""

    def __init__(self) -> None:
        self.lateness = array("q")
        self._alarm = Alarm()
        self._due: list[tuple[int, int, Stream]] = []
        self._set = 0
        self._number = 0
        asyncio.get_running_loop().add_reader(self._alarm.file, self._rung)

    def begin(self, ask: Ask, transport: asyncio.WriteTransport, *, usage: bool) -> None:
        """Begin an answer."""
        self._number += 1
        stream = Stream(ask, transport, self._number, usage=usage)
        heapq.heappush(self._due, (stream.due, self._number, stream))
        self._wind()

    def _rung(self) -> None:
        self._alarm.rung()
        now, due = ticks(), self._due
        while due and due[0][0] <= now:
            at, number, stream = due[0]
            if stream.transport.is_closing():
                heapq.heappop(due)
                continue
            self.lateness.append(now - at)
            stream.write()
            if stream.left:
                heapq.heapreplace(due, (stream.due, number, stream))
            else:
                heapq.heappop(due)
            now = ticks()
        self._set = 0
        self._wind(now + GAP)

    def _wind(self, least: int = 0) -> None:
        """Have the alarm ring when the next token is due, but not before `least`."""
        if self._due and (self._set == 0 or self._due[0][0] < self._set):
            self._set = max(self._due[0][0], least)
            self._alarm.set(self._set)

    def stats(self) -> dict[str, float]:
        """How late tokens were written since this was last asked, in ms."""
        late = sorted(self.lateness)
        del self.lateness[:]
        if not late:
            return {"count": 0, "p50_ms": 0.0, "p99_ms": 0.0, "max_ms": 0.0}
        at = {"p50_ms": late[len(late) // 2], "p99_ms": late[len(late) * 99 // 100], "max_ms": late[-1]}
        return {"count": len(late)} | {name: value * 1000 / TICKS for name, value in at.items()}


class Requests(asyncio.Protocol):
    """One connection: requests, one after the other."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._read = b""
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's are no subclasses

    def data_received(self, data: bytes) -> None:
        """Read what came, and answer each whole request."""
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            head = self._read[:end].decode("latin-1")
            name = "\r\ncontent-length:"
            at = head.lower().find(name)
            length = int(head[at + len(name) :].split("\r\n", 1)[0]) if at >= 0 else 0
            if len(self._read) < end + 4 + length:
                return
            body, self._read = self._read[end + 4 : end + 4 + length], self._read[end + 4 + length :]
            self._answer(head.split(" ", 2)[1], body)

    def _answer(self, path: str, body: bytes) -> None:
        match path:
            case "/v1/chat/completions":
                asked = msgspec.json.decode(body)
                usage = bool((asked.get("stream_options") or {}).get("include_usage"))
                ask = Ask.read(asked["messages"][-1]["content"])
                self._upstream.begin(ask, self._transport, usage=usage)
            case "/stats":
                self._say(self._upstream.stats())
            case _:
                model = {"id": "up-1", "object": "model", "created": 0, "owned_by": "bench"}
                self._say({"object": "list", "data": [model]})

    def _say(self, value: Any) -> None:
        body = json.dumps(value).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        self._transport.write(head + body)


async def serve(port: int) -> None:
    """Serve until the process is ended."""
    loop = asyncio.get_running_loop()
    upstream = Upstream()
    server = await loop.create_server(lambda: Requests(upstream), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
