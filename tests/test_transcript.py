"""core.transcript: the fold of a log, on the golden logs that the browser's module folds, too."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.core.model import Cursor
from app.core.transcript import Transcript

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.json"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_golden_log_folds_to_its_session(path: Path) -> None:
    """Each frame has the outcome that the log names, and the fold is the session that it names."""
    golden: dict[str, Any] = json.loads(path.read_text())
    transcript = Transcript(golden["session"]["session"])
    outcomes = [transcript.apply(step["frame"]) for step in golden["steps"]]
    assert [step["outcome"] for step in golden["steps"]] == outcomes
    assert golden["session"] == transcript.wire()


def test_the_golden_logs_cover_every_kind_of_entry() -> None:
    """No kind of the protocol is folded by one side only."""
    kinds = {
        entry["kind"]
        for path in GOLDEN
        for step in json.loads(path.read_text())["steps"]
        for entry in step["frame"].get("entries", ())
    }
    expected = {"turn", "cut", "run", "delta", "reasoning", "tool", "ask", "answer", "hold", "end", "meta", "gone"}
    assert expected <= kinds


def test_what_was_passed_on_one_connection_means_nothing_on_the_next() -> None:
    """A batch that ends where one has been is a repeat on this connection, and a gap on another."""
    transcript = Transcript("s")
    transcript.apply({"type": "snapshot", "session": "s", "at": "5-1", "turns": [], "queued": [], "more": False})
    batch = {"type": "batch", "session": "s", "after": "5-1", "at": "6-2", "entries": []}
    last = {"type": "batch", "session": "s", "after": "6-2", "at": "7-3", "entries": []}
    assert [transcript.apply(frame) for frame in (batch, last, batch)] == ["applied", "applied", "ignored"]
    transcript.reconnected()
    assert transcript.apply(batch) == "behind"
    assert Cursor(7, 3) == transcript.at
