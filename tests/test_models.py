"""agent.models: several models, from a file."""

from pathlib import Path

import pytest

from app.agent.llm import Abilities, Limits
from app.agent.models import Models, WrongModels
from app.agent.prompt import Prompt
from tests.servers import upstream


async def test_each_model_is_asked_at_its_own_upstream_with_its_own_key(tmp_path: Path) -> None:
    """By its name; the first is the default."""
    async with upstream() as one, upstream() as other:
        file = tmp_path / "models.toml"
        file.write_text(
            f'[[model]]\nname = "a"\nbase_url = "{one.url}"\n'
            f'[[model]]\nname = "b"\nbase_url = "{other.url}"\nkey_env = "KEY_B"\ncontext_tokens = 900\n'
        )
        models = await Models.connect(file, {"KEY_B": "secret"}, Limits(), Abilities())
        assert (models.names, models.abilities("a").prompt_tokens, models.abilities("b").prompt_tokens) == (
            ("a", "b"),
            None,
            900,
        )
        text = "".join(
            [piece.text async for piece in models.stream("b", Prompt([{"role": "user", "content": "Hello there"}]))]
        )
        await models.close()
        assert text == "Hello there "
        assert (len(one.requests), [request["model"] for request in other.requests]) == (0, ["b"])
        assert other.keys == ["Bearer secret"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read"),
        ("model = ", "is not right"),
        ("", "missing required field `model`"),
        ("model = []", "has no model"),
        ('[[model]]\nname = "a"\n[[model]]\nname = "a"', "two of one name"),
        ('[[model]]\nname = "a"\nurl = "x"', "unknown field `url`"),
        ('[[model]]\nname = "a"\ntakeover = "magic"', "Invalid enum value 'magic'"),
        ('[[model]]\nname = "a"\nreasoning = "back"\napi = "responses"', "reasoning: expected only with api"),
        ('[[model]]\nname = "a"\nkey_env = "NO_SUCH"', "has its key in NO_SUCH, which is not set"),
    ],
)
async def test_what_is_wrong_with_the_file_is_said(tmp_path: Path, text: str | None, words: str) -> None:
    """Where, and what was expected."""
    file = tmp_path / "models.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(WrongModels, match=words):
        await Models.connect(file, {}, Limits(), Abilities())
