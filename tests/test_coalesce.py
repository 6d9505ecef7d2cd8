"""core.coalesce: when a run's text becomes entries."""

from hypothesis import given
from hypothesis import strategies as st

from app.core.coalesce import CONTROL, Coalescer, head_of, pieces

FLUSH = 0.04


def test_the_first_text_goes_out_at_once_and_later_text_is_gathered() -> None:
    """0 for the first, then what is left of the flush time."""
    coalescer = Coalescer(FLUSH, 1000)
    assert coalescer.due(10.0) is None
    coalescer.add("a")
    assert coalescer.due(10.0) == 0.0
    assert coalescer.take(10.0) == ["a"]
    coalescer.add("b")
    coalescer.add("c")
    assert abs(0.03 - (coalescer.due(10.01) or 0)) < 1e-9
    assert coalescer.due(10.05) == 0.0
    assert coalescer.take(10.05) == ["bc"]
    assert coalescer.empty


def test_much_text_goes_out_at_once_in_bounded_pieces() -> None:
    """16 KiB do not wait, and no delta is larger."""
    coalescer = Coalescer(FLUSH, 10**6)
    coalescer.add("a")
    coalescer.take(0.0)
    coalescer.add("é" * 20_000)
    assert coalescer.due(0.001) == 0.0
    taken = coalescer.take(0.001)
    assert "".join(taken) == "é" * 20_000
    assert all(len(text.encode()) <= 16 * 1024 for text in taken)


def test_it_is_full_at_its_bound() -> None:
    """The owner stops reading the model then."""
    coalescer = Coalescer(FLUSH, 10)
    coalescer.add("x" * 9)
    assert not coalescer.full
    coalescer.add("x")
    assert coalescer.full
    coalescer.take(0.0)
    assert not coalescer.full


@given(st.lists(st.text(st.characters(), max_size=5), max_size=20))
def test_any_cut_of_any_text_comes_out_whole(texts: list[str]) -> None:
    """Also where a surrogate pair is cut in two: what comes out is valid, and equal but for what must not be in it."""
    whole = "".join(texts)
    coalescer = Coalescer(FLUSH, 10**6)
    utf16 = whole.encode("utf-16-le", "surrogatepass")
    for index in range(0, len(utf16), 2):
        coalescer.add(utf16[index : index + 2].decode("utf-16-le", "surrogatepass"))
    out = "".join(coalescer.finish(1.0))
    valid = whole.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert CONTROL.sub("\ufffd", valid) == out


@given(st.text(), st.integers(4, 40))
def test_pieces_are_whole_characters_within_the_limit(text: str, limit: int) -> None:
    """Joined they are the text."""
    cut = pieces(text, limit)
    assert text == "".join(cut)
    assert all(len(piece.encode()) <= limit for piece in cut)
    assert text.encode().startswith(head_of(text.encode(), limit))
    head_of(text.encode(), limit).decode()
