"""A person's own tools, from a module of theirs."""

import importlib
import sys
from pathlib import Path

import pytest

from app.agent.tools.declared import WrongTools, loaded
from app.agent.tools.toolbox import Toolbox
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
        ("tools_exit", "import sys\nsys.exit(0)", "cannot be loaded: SystemExit: 0"),
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


FUNCTION = "from pathlib import Path\nfrom app.agent.tools import tool\n"
CLASS = """from app.agent.tools import StatelessTool
class Named(StatelessTool):
    async def execute(self, context, parameters):
        return 1
    def get_tool_schema(self):
        return {"name": "named", "description": "", "parameters": {"type": "object"}}
"""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (FUNCTION + "@tool\nasync def named():\n    yield 1", "tool 'named' is a generator"),
        (FUNCTION + "@tool\ndef named():\n    yield 1", "tool 'named' is a generator"),
        (FUNCTION + "@tool\nasync def named(a: int, b: list[Path]): ...", "tool 'named': parameter 'b' has a type"),
        (FUNCTION + "@tool\nasync def named(a: 'Nobody'): ...", "tool 'named': its types cannot be read: .*'Nobody'"),
        (FUNCTION + "@tool(seconds=0)\nasync def named(): ...", "tool 'named': seconds is 0; expected"),
        (CLASS.replace("async def", "def"), "tool 'named': its execute is not async"),
        (CLASS + "    seconds = '30'", "tool 'named': seconds is '30'; expected"),
        (CLASS + "    seconds = float('inf')", "tool 'named': seconds is inf; expected"),
        (CLASS + "    seconds = True", "tool 'named': seconds is True; expected"),
        (CLASS + "    approval = 'no'", "tool 'named': approval is 'no'; expected"),
        (CLASS + "    idempotent = 1", "tool 'named': idempotent is 1; expected"),
        (CLASS.replace('""', "object()"), "tool 'named': its schema is not JSON"),
        (CLASS.replace('"object"', '"string"'), "tool 'named': its parameters are of type 'string'; expected object"),
        (CLASS.replace('{"type": "object"}', "None"), "tool 'named': its parameters are None; expected"),
        (CLASS.replace("return {", "raise ValueError('no') #"), "Named: get_tool_schema fails: ValueError: no"),
        (CLASS.replace("return {", "return None #"), "Named: get_tool_schema gives None; expected a dict"),
    ],
)
def test_tools_that_are_declared_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, why: str) -> None:
    """It is told when the node starts, with the tool's name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "tools_wrong", raising=False)
    (tmp_path / "tools_wrong.py").write_text(text)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    importlib.invalidate_caches()
    with pytest.raises(WrongTools, match=why):
        Toolbox(loaded(["tools_wrong"]))
