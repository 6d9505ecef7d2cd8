"""core.coalesce: when a run's text becomes entries."""

from hypothesis import given
from hypothesis import strategies as st

from app.core.coalesce import CONTROL, Coalescer, head_of, pieces


def test_text_is_gathered_and_taken_once() -> None:
    """As one delta."""
    coalescer = Coalescer()
    assert coalescer.take() == []
    for text in ("a", "", "b"):
        coalescer.add(text)
    assert coalescer.take() == ["ab"]
    assert (coalescer.take(), coalescer.finish()) == ([], [])


def test_much_text_comes_in_bounded_pieces() -> None:
    """No delta has more than 16 KiB."""
    coalescer = Coalescer()
    coalescer.add("\u00e9" * 20_000)
    taken = coalescer.take()
    assert "".join(taken) == "\u00e9" * 20_000
    assert all(len(text.encode()) <= 16 * 1024 for text in taken)


@given(st.lists(st.text(st.characters(), max_size=5), max_size=20))
def test_any_cut_of_any_text_comes_out_whole(texts: list[str]) -> None:
    """Also where a surrogate pair is cut in two: what comes out is valid, and equal but for what must not be in it."""
    whole = "".join(texts)
    coalescer = Coalescer()
    utf16 = whole.encode("utf-16-le", "surrogatepass")
    for index in range(0, len(utf16), 2):
        coalescer.add(utf16[index : index + 2].decode("utf-16-le", "surrogatepass"))
    out = "".join(coalescer.finish())
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
