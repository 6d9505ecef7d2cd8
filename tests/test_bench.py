"""The harness counts right, and ours costs a fraction of the hand-written baseline.

The costs are compared by ratio, in one run, with the margin that `bench.quick` states: never by absolute times.
"""

import asyncio
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from bench import profile, quick
from bench.drive import Window
from bench.machine import Cores, Unmeasurable, cpu_s, load_core, place, rss_bytes
from bench.numbers import Figures, Spread, percentile
from bench.report import Report
from bench.results import Machine, Result, Results
from bench.scenarios import history, idle, resume, tokens
from bench.sockets import Events, WebSocket, request
from bench.systems import Cost, running
from bench.systems.ours import Ours, OursJson
from bench.tokens import TICKS, WRAP, Answer, Ask, Tally, ticks, token
from tests.servers import ROOT

ASK = Ask(2000, 50)


def test_a_rate_is_an_interval() -> None:
    """Fifty a second are one every 20 ms; a prompt reads as it was written."""
    assert Ask.at(50, 2.0, 0.25) == Ask(TICKS // 50, 100, TICKS // 200)
    assert Ask.read(ASK.prompt) == ASK
    with pytest.raises(ValueError, match="Hello"):
        Ask.read("Hello to you all")


@given(st.integers(0, 10**12), st.integers(1, 5000), st.data())
def test_the_first_token_is_due_at_its_phase(now: int, interval: int, data: st.DataObject) -> None:
    """Not before now, less than an interval later, and where time modulo interval is the phase."""
    phase = data.draw(st.integers(0, interval - 1))
    first = Ask(interval, 1, phase).first(now)
    assert now <= first < now + interval
    assert first % interval == phase


def said(ask: Ask, late: int = 100) -> list[str]:
    """The tokens of an answer whose last one is due `late` ticks ago."""
    first = ticks() - late - ask.interval * (ask.count - 1)
    return [token(first + ask.interval * index) for index in range(ask.count)]


@pytest.mark.parametrize("size", [1, 4, 9, 23, 450])
def test_each_token_counts_once_however_the_text_is_cut(size: int) -> None:
    """A delta may hold many tokens, or end in the middle of one."""
    answer, text = Answer(ASK, Tally()), "".join(said(ASK))
    for start in range(0, len(text), size):
        answer.take(text[start : start + size])
    assert not answer.whole
    answer.end()
    assert answer.whole
    assert len(answer.tally) == answer.count == ASK.count
    assert len(answer.tally.firsts) == 1


@pytest.mark.parametrize("fault", ["twice", "missing", "swapped", "short", "cut", "early"])
def test_an_answer_that_is_not_exact_is_not_whole(fault: str) -> None:
    """A token that is twice there, missing, out of order, cut, or there before it was due."""
    parts = said(ASK, late=-TICKS if fault == "early" else 100)
    match fault:
        case "twice":
            parts.insert(20, parts[20])
        case "missing":
            del parts[20]
        case "swapped":
            parts[20], parts[21] = parts[21], parts[20]
        case "short":
            del parts[-1]
        case "cut":
            parts.append("123")
    answer = Answer(ASK, Tally())
    answer.take("".join(parts))
    answer.end()
    assert not answer.whole


def test_a_delay_is_from_due_to_now_also_where_the_clock_wraps() -> None:
    """Eight digits of ticks are a thousand seconds; a delay across their end is right."""
    tally, now = Tally(), ticks()
    late = now % WRAP + 5  # due just before the digits began anew
    Answer(ASK, tally).take(token(now - late))
    assert late <= tally.came[0] - tally.due[0] <= late + TICKS
    delays = tally.delays_ms(now - late, now - late + 1)
    assert delays == [pytest.approx((tally.came[0] - now + late) / 100)]
    assert tally.delays_ms(now - late + 1, now) == []


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 12), st.integers(0, 7))
def test_what_was_due_is_counted_whether_it_came_or_not(since: int, length: int, count: int, interval: int) -> None:
    """As many as a list of the due times has."""
    answer = Answer(Ask(interval, count), Tally())
    answer.first = 20
    due = [20 + interval * index for index in range(count)]
    assert sum(since <= at < since + length for at in due) == answer.due_in(since, since + length)


def test_percentiles_and_spreads() -> None:
    """The nearest rank; the median, the least and the most."""
    values = [float(value) for value in range(1, 101)]
    assert (percentile(values, 50), percentile(values, 99), percentile(values, 100)) == (50, 99, 100)
    assert percentile([7.0], 99) == 7
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0, 3)


@pytest.mark.parametrize(("load", "late_ms"), [(0.95, 0.0), (0.2, 50.0)])
def test_a_window_in_which_the_load_was_the_bottleneck_does_not_count(load: float, late_ms: float) -> None:
    """The load's core was full, or the upstream late: then delays are theirs."""
    seen = Window(0, TICKS, Cost({}), load, 0.0, {"p99_ms": late_ms})
    with pytest.raises(Unmeasurable):
        seen.must_count()
    Window(0, TICKS, Cost({}), 0.2, 0.0, {"p99_ms": 1.0}).must_count()


def test_cpu_time_is_the_kernels_own() -> None:
    """What a process has used grows by what it uses, to within a tick of `/proc/PID/stat`."""
    before = cpu_s(os.getpid())
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    spent = cpu_s(os.getpid()) - before
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    told = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    assert 0.05 <= spent < 0.2
    assert cpu_s(os.getpid()) == pytest.approx(told, abs=0.05)
    assert rss_bytes(os.getpid()) > 1024 * 1024


def frames(opcode: int, payload: bytes) -> bytes:
    """A WebSocket frame from a server."""
    size = len(payload)
    length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2) if size < 65536 else b"\x7f" + size.to_bytes(8)
    return bytes([0x80 | opcode]) + length + payload


async def test_messages_are_read_however_they_are_cut() -> None:
    """Each once and in order: frames of every size of length, and events in chunks, in pieces at random."""
    payloads = [bytes([index]) * size for index, size in enumerate((0, 5, 125, 126, 65_535, 65_536, 1))]
    events = [b"data: %d\n\n" % index for index in range(20)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events) + b"0\r\n\r\n"
    for _ in range(20):
        messages: list[bytes] = []
        values: list[bytes] = []
        socket, stream = WebSocket(messages.append), Events(values.append)
        for reader, body in ((socket, b"".join(frames(2, one) for one in payloads)), (stream, chunks)):
            data = b"HTTP/1.1 %d OK\r\n\r\n" % (101 if reader is socket else 200) + body
            while data:
                size = random.randint(1, 40_000 if len(data) > 1000 else 30)
                reader.data_received(data[:size])
                data = data[size:]
        assert payloads == messages
        assert [event[6:-2] for event in events] + [b""] == values


@pytest.fixture
def cores() -> Iterator[Cores]:
    """Two cores of this machine, the load on its own."""
    found = Cores.of_this_machine()
    with load_core(found):
        yield found


@pytest.mark.alone
def test_the_upstream_is_an_openai_compatible_stream_on_time(cores: Cores) -> None:
    """A role, each token once as it is due, a reason, the usage, the end; not one early."""

    async def read() -> list[bytes]:
        async with place(cores) as around:
            upstream = await around.upstream()
            ask = {"stream_options": {"include_usage": True}, "messages": [{"role": "user", "content": ASK.prompt}]}
            reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
            body = msgspec.json.encode(ask)
            writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            stream = Events(values.append)
            while not stream.lost and b"" not in values:
                stream.data_received(await reader.read(65_536))
                take()
            writer.close()
            assert (await request(upstream.port, "/stats"))["count"] == ASK.count
            return values

    values: list[bytes] = []
    answer = Answer(ASK, Tally())
    taken = 0

    def take() -> None:
        nonlocal taken
        for value in values[taken:]:
            if value.startswith(b"{"):
                for choice in msgspec.json.decode(value)["choices"]:
                    answer.take(choice["delta"].get("content") or "")
        taken = len(values)

    *chunks, done, end = uvloop.run(read())
    answer.end()
    assert answer.whole
    assert (done, end) == (b"[DONE]", b"")
    decoded = [msgspec.json.decode(chunk) for chunk in chunks]
    assert decoded[0]["choices"][0]["delta"]["role"] == "assistant"
    assert decoded[-2]["choices"][0]["finish_reason"] == "stop"
    assert decoded[-1]["usage"]["completion_tokens"] == ASK.count


def counted(found: Figures) -> None:
    """Hold what a run of tokens gave to what it must be: tokens, a sum of parts, no delay that is negative."""
    assert found["tokens/s"] > 0
    parts = [found[f"µs {name}"] for name in ("A", "B", "Redis")]
    assert found["µs per token"] == pytest.approx(sum(parts))
    assert min(parts) > 0
    assert 0 <= found["p50 ms"] <= found["p99 ms"] <= found["max ms"]


@pytest.mark.alone
def test_ours_is_cheaper_than_the_baseline_by_what_is_stated(cores: Cores) -> None:
    """`python -m bench --quick`: the ratio, within its margin; of both every token was counted, once."""
    verdict = uvloop.run(quick.compare(cores, seconds=1.5, rounds=1))
    assert verdict.good, str(verdict)
    counted(verdict.ours)
    counted(verdict.baseline)


def test_worse_is_said_to_be_worse() -> None:
    """The gate closes past the margin, and not before."""
    allowed = quick.RATIO * quick.MARGIN
    assert quick.Verdict({"µs per token": 0.99 * allowed}, {"µs per token": 1.0}).good
    assert not quick.Verdict({"µs per token": 1.01 * allowed}, {"µs per token": 1.0}).good


def test_a_profile_counts_where_samples_were() -> None:
    """The last frame is where it was; each on the way counts once, whatever its line; idle threads do not."""
    stacks = ["run (a.py:1);f (a.py:5);f (a.py:6) 3", "run (a.py:1);f (a.py:6);g (b.so) 1"]
    folded = "\n".join([*stacks, "_worker (concurrent/futures/thread.py:81) 9"])
    assert profile.lines_of(folded, whole=False) == {"f (a.py)": 3, "g (b.so)": 1}
    assert profile.lines_of(folded, whole=True) == {"run (a.py)": 4, "f (a.py)": 4, "g (b.so)": 1}


def test_the_page_has_a_place_for_every_table(tmp_path: Path) -> None:
    """Results that are read again fill their tables, and nothing else of the page changes."""
    file, page = tmp_path / "results.jsonl", tmp_path / "performance.md"
    was = (ROOT / "docs" / "performance.md").read_text()
    page.write_text(was)
    begun = Results.begin(file)
    assert begun.machine == Machine.this()
    for value in (30.0, 10.0, 20.0):
        figures = {"µs per token": value, "µs A": value / 2, "p50 ms": 1.25}
        begun.add(Result("tokens", "25 sessions", "ours", figures), file)
    report = Report(Results.read([file]), {"ours": Ours})
    report.write(page)
    row = "| 25 sessions | ours | 20 (10–30) | 10 (5–15) |  |  |  | 1.2 |  |  |  | 3 |"
    assert row in page.read_text().splitlines()
    assert was.split("## How it is measured")[1].split("<!-- tokens -->")[0] in page.read_text()
    for scenario in ("capacity", "resume", "idle", "fanout", "history"):
        assert f"<!-- {scenario} -->" in was


def test_the_peers_say_nothing_of_where_packages_come_from() -> None:
    """Exact versions in `package.json`, and no lock file with addresses."""
    for peer in (ROOT / "bench" / "peers").glob("*/package.json"):
        versions = msgspec.json.decode(peer.read_bytes())["dependencies"].values()
        assert all(version[0].isdigit() for version in versions)
    assert not list((ROOT / "bench").rglob("*lock*.json"))


@pytest.mark.alone
def test_each_scenario_measures_what_it_says(cores: Cores, monkeypatch: pytest.MonkeyPatch) -> None:
    """With small numbers: answers come whole, also to who comes back; sockets stay; the history is as long as it is
    said to be; and when a system is left, its processes are gone.
    """
    for module, name, value in (
        (resume, "SESSIONS", 5), (resume, "LONG_SECONDS", 2.5), (resume, "AWAY_SECONDS", 0.3), (history, "OPENS", 3),
        (history, "EXCHANGES", 3), (history, "TOKENS", 20), (history, "REST_SECONDS", 0.1), (idle, "SETTLE_SECONDS", 0),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)

    async def run() -> list[int]:
        async with running(OursJson(), cores) as run:
            found = await tokens.stream(run, sessions=5, seconds=1.0, delays=False)
            counted(found)
            assert found["tokens/s"] == pytest.approx(5 * tokens.RATE, rel=0.3)
            back = await resume.back(run, 0.2)
            assert back["whole"] == 5
            assert 0 < back["p50 ms"] <= back["p99 ms"] < resume.RETURN_SECONDS * 1000
            quiet = await idle.rest(run, sockets=60, opens=True, seconds=0.5)
            assert quiet["lost"] == 0
            assert quiet["connects/s"] > 0
            long = await history.long(run, turns=50)
            assert set(long) == {"µs per exchange", "µs per open", "µs per append"}
            return [process.pid for process in (*run.measured(), run.upstream)]

    pids = uvloop.run(run())
    assert len(pids) == 4
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
