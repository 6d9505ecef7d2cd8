"""agent.prefix: what a model is given to go on after, and what of its words is new."""

import pytest

from app.agent.prefix import Prefix
from app.core.model import Dialect

ASK = [{"role": "user", "content": "Count."}]


@pytest.mark.parametrize(
    ("dialect", "last", "options"),
    [
        ("trailing", {"role": "assistant", "content": "One two"}, {}),
        (
            "continue_final_message",
            {"role": "assistant", "content": "One two"},
            {"continue_final_message": True, "add_generation_prompt": False},
        ),
        ("prefix", {"role": "assistant", "content": "One two", "prefix": True}, {}),
    ],
)
def test_each_server_is_asked_in_its_dialect(dialect: Dialect, last: dict[str, object], options: object) -> None:
    """The text comes last, without white space at its end."""
    prefix = Prefix("One two ", dialect)
    assert (prefix.messages(ASK), prefix.options()) == ([*ASK, last], options)


@pytest.mark.parametrize("text", ["", "  \n"])
def test_without_text_nothing_is_given(text: str) -> None:
    """It is simply asked, and all that it says is new."""
    prefix = Prefix(text, "continue_final_message")
    assert (prefix.messages(ASK), prefix.options()) == (ASK, {})
    assert [prefix.new(" one"), prefix.rest()] == [" one", ""]


@pytest.mark.parametrize(
    ("dialect", "stands", "said", "new"),
    [
        ("trailing", "One two ", [" three", " four"], "three four"),  # the space that was cut is said again
        ("trailing", "One two ", ["three"], "three"),
        ("trailing", "One t", ["wo"], "wo"),
        ("trailing", "One.\n\n", ["\n", "\nTwo"], "Two"),
        ("trailing", "One.\n\n", ["\nTwo"], "Two"),
        ("trailing", "One. ", ["\n\nTwo"], "\n\nTwo"),
        ("trailing", "One ", [" "], ""),
        ("prefix", "One two ", ["One", " two", " three"], "three"),  # Mistral repeats what stands
        ("prefix", "One two ", ["One two three"], "three"),
        ("prefix", "One two\n", ["One two", " three"], " three"),
        ("prefix", "One two ", [" three"], "three"),  # DeepSeek does not
        ("prefix", "ha ha ha ", ["ha", " ho"], "ha ho"),  # begins alike, and is new
        ("prefix", "ha ha ha ", ["ha"], "ha"),
    ],
)
def test_only_what_is_new_is_taken(dialect: Dialect, stands: str, said: list[str], new: str) -> None:
    """What was cut from its end, or repeated, is not said twice; nothing new is dropped."""
    prefix = Prefix(stands, dialect)
    assert "".join([*(prefix.new(piece) for piece in said), prefix.rest()]) == new
