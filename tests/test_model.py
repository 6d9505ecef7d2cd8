"""core.model: cursors, users, sessions, ids."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import BadCursor, BadFrame
from app.core.model import BUCKETS, Cursor, Session, User, checked_id, title_of


def test_a_cursor_is_compared_as_two_integers() -> None:
    """As text, 9 would come after 10."""
    nine, ten = Cursor.parse("1764000000000-9"), Cursor.parse("1764000000000-10")
    assert nine < ten
    assert str(nine) > str(ten)


@given(st.integers(0, 10**15 - 1), st.integers(0, 10**15 - 1))
def test_a_cursor_reads_what_it_writes(ms: int, seq: int) -> None:
    """Round trip."""
    assert Cursor(ms, seq) == Cursor.parse(str(Cursor(ms, seq)))


@pytest.mark.parametrize(
    "text",
    ["", "1", "1-", "-1", "1-2-3", "a-1", "1-a", " 1-1", "1-1\n", "01-1", "-1-1", "1e3-1", "١-1", "1" * 20 + "-1"],
)
def test_anything_else_is_no_cursor(text: str) -> None:
    """A typed error that shows what was seen."""
    with pytest.raises(BadCursor, match="two integers"):
        Cursor.parse(text)


def test_a_user_is_who_vouches_for_whom() -> None:
    """22 characters that break no key; no two identities share one, however the parts are cut."""
    assert len(User.of("guest:name", "ada").key) == 22
    assert User.of("a", "b:c") != User.of("a:b", "c")
    assert User.of("guest:name", "x") != User.of("guest:cookie", "x")
    assert set("{}/: *") & set(User.of("{}", "*/ ").key) == set()


def test_a_session_has_one_bucket_for_ever() -> None:
    """Fixed values: a change would lose every session."""
    session = Session(User.of("guest:name", "ada"), "s")
    assert ("_xFe02J7JzLQTWTXT8YhLA/s", 226)[1] in range(BUCKETS)
    assert session.bucket == Session(User.of("guest:name", "ada"), "s").bucket
    assert len({Session(User.of("i", str(n)), "s").bucket for n in range(5000)}) == BUCKETS


@pytest.mark.parametrize("value", ["", ".a", "-a", "_a", "a b", "a/b", "a\n", "é", "a" * 65, "a:b", "{a}"])
def test_ids_are_plain(value: str) -> None:
    """A typed error that names the field and shows what was seen."""
    with pytest.raises(BadFrame, match="say: id must be"):
        checked_id(value, "say: id")
    assert checked_id("a" * 64, "say: id") == "a" * 64


def test_a_title_is_one_short_line() -> None:
    """Blanks collapsed, 80 characters."""
    assert title_of("  Hello\n\tthere   you ") == "Hello there you"
    assert title_of("😀" * 100) == "😀" * 80
