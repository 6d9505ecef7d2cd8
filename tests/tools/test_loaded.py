"""A person's own tools, from a module of theirs."""

import sys
from pathlib import Path

import pytest

from app.agent.tools.toolbox import WrongTools, loaded
from tests.tools import called

MINE = '''"""A person's own tools."""

from app.agent.tools import SearchTool, StatelessTool, tool


@tool
async def dice(sides: int = 6) -> int:
    """Throw."""
    return 4


class Coin(StatelessTool):
    """Needs nothing to be made."""

    async def execute(self, context, parameters):
        return "heads"

    def get_tool_schema(self):
        return {"name": "coin", "description": "", "parameters": {"type": "object"}}


class Card(Coin):
    """Needs something."""

    def __init__(self, colour):
        self.colour = colour

    def get_tool_schema(self):
        return {"name": self.colour, "description": "", "parameters": {"type": "object"}}


red = Card("red")
'''


async def test_a_persons_own_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module in the folder where the node starts: its functions, its objects, and classes that make themselves."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "own_tools_of_test.py").write_text(MINE)
    found = {one.get_tool_schema()["name"]: one for one in loaded(["own_tools_of_test"])}
    assert set(found) == {"dice", "coin", "red"}
    assert await called(found["dice"]) == 4
    assert await called(found["coin"]) == "heads"


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("tools_none", "x = 1", "has no tool; expected functions with @tool"),
        ("tools_broken", "1 / 0", "cannot be loaded: ZeroDivisionError: division by zero"),
        ("tools_syntax", "def", "cannot be loaded: SyntaxError"),
        ("tools_missing", None, "cannot be loaded: ModuleNotFoundError"),
        ("tools_class", "from app.agent.tools import *\nclass A(StatelessTool):\n pass", "has no tool"),
        ("", None, "cannot be loaded"), (".x", None, "cannot be loaded"),
    ],
)  # fmt: skip
def test_modules_without_tools(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str | None, why: str
) -> None:
    """What is wrong is told, with the module's name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    if text is not None:
        (tmp_path / f"{name}.py").write_text(text)
    with pytest.raises(WrongTools, match=why) as caught:
        loaded([name])
    assert str(caught.value).startswith(name)
