"""Who may know whom: imports point down, `core` is pure, no room is too full."""

import ast
from pathlib import Path

import pytest

from tests.servers import ROOT

APP = ROOT / "app"
MODULES = sorted(APP.rglob("*.py"))
MAY_IMPORT = {
    "core": {"core"},
    "state": {"core", "state"},
    "live": {"core", "state", "live"},
    "agent": {"core", "state", "agent"},
    "client": {"core", "client"},
    "aside": {"core"},
    "config": {"core", "state"},
    "node": {"core", "state", "live", "agent", "aside", "config"},
    "stateless": {"core", "live", "agent", "node"},
    "processes": {"config", "edge"},
    "start": {"core", "state", "agent", "config", "node", "edge"},
    "members": {"core", "state", "config", "edge"},
    "check": {"core", "agent", "config", "start"},
    "edge": {"core", "state", "live", "agent", "config", "node", "stateless", "edge"},
    "__main__": {
        "core",
        "state",
        "live",
        "agent",
        "config",
        "node",
        "edge",
        "client",
        "start",
        "check",
        "processes",
        "members",
    },
    "__init__": set(),
}
IMPURE = {"asyncio", "random", "secrets", "time", "datetime", "os", "socket", "logging", "threading", "redis", "uuid"}
LINES = 300
WORDS = ("utils", "helpers", "common", "misc", "manager")


def _room(path: Path) -> str:
    relative = path.relative_to(APP)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found |= (
                {f"{node.module}.{alias.name}" for alias in node.names} if node.module == "app" else {str(node.module)}
            )
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    """Core < state < live, agent < node < edge < __main__; live and agent do not know each other; client knows core."""
    rooms = {name.split(".")[1] for name in _imports(path) if name.startswith("app.")}
    assert rooms <= MAY_IMPORT[_room(path)], f"{path.relative_to(ROOT)} imports {rooms - MAY_IMPORT[_room(path)]}"


def test_only_state_knows_redis() -> None:
    """Nothing but `state` imports redis, and only `agent` the model's package."""
    for package, room in (("redis", "state"), ("openai", "agent"), ("websockets", "client")):
        rooms = {_room(path) for path in MODULES if any(name.split(".")[0] == package for name in _imports(path))}
        assert {room} == rooms


def test_core_is_pure() -> None:
    """No I/O, no clock, no randomness in `core`: time is an argument."""
    for path in MODULES:
        if _room(path) == "core":
            assert set() == {name.split(".")[0] for name in _imports(path)} & IMPURE, path.name
            assert not any(
                isinstance(node, ast.Await | ast.AsyncFunctionDef) for node in ast.walk(ast.parse(path.read_text()))
            )


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_opens_with_what_it_is_and_is_not_too_full(path: Path) -> None:
    """A docstring first; at most 300 lines; no room for leftovers."""
    text = path.read_text()
    assert (ast.get_docstring(ast.parse(text)) or "").strip()
    assert len(text.splitlines()) <= LINES
    assert path.stem not in WORDS


def test_no_state_at_import() -> None:
    """Modules hold constants, functions and classes: nothing that changes, nothing that connects."""
    for path in MODULES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign | ast.AnnAssign):
                value = node.value
                assert (
                    not isinstance(value, ast.List | ast.Dict | ast.Set)
                    or "Final" in ast.unparse(node)
                    or (ast.unparse(node).startswith("__all__"))
                ), f"{path.name}: {ast.unparse(node)[:60]}"


@pytest.mark.parametrize("path", sorted((APP / "state" / "scripts").glob("*.lua")), ids=lambda path: path.stem)
def test_a_script_says_its_contract(path: Path) -> None:
    """A header: purpose, ARGV, returns."""
    header = path.read_text().split("\n\n")[0]
    assert header.startswith("-- ")
    if path.stem != "prelude":
        text = "\n".join(line for line in path.read_text().splitlines() if line.startswith("--"))
        assert "ARGV" in text
        assert "Returns" in text
