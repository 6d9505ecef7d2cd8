"""The README is true: its knobs, files, commands and example exist."""

import dataclasses
import re
import subprocess
import sys

from app.config import Settings
from app.core.commands import COMMANDS
from tests.servers import ROOT

README = (ROOT / "README.md").read_text()
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()


def test_each_knob_is_a_setting_and_each_setting_is_a_knob() -> None:
    """The table names all, and nothing else."""
    table = README.partition("## Knobs")[2].partition("## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = {name.lower() for row in rows for name in re.findall(r"`([A-Z_]+)`", row)}
    assert {field.name for field in dataclasses.fields(Settings)} == named


def test_the_defaults_in_the_table_are_the_defaults() -> None:
    """Each number."""
    table = README.partition("## Knobs")[2].partition("## ")[0]
    defaults = {field.name: field.default for field in dataclasses.fields(Settings)}
    checked = 0
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        names, values = re.findall(r"`([A-Z_]+)`", cells[0]), cells[1].split(" ") if len(cells) > 1 else []
        if names and len(names) == len(values) and "`" not in cells[1]:
            for name, value in zip(names, values, strict=True):
                default = defaults[name.lower()]
                if isinstance(default, bool):
                    assert default is (value == "1")
                elif isinstance(default, int | float):
                    assert default == float(value), name
                checked += 1
    assert checked >= 12


def test_each_flag_and_command_exists() -> None:
    """`python -m app serve --help` knows every flag that the README writes."""
    shown = subprocess.run(
        [sys.executable, "-m", "app", "serve", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    flags = set(re.findall(r" (--[a-z][a-z-]+)", README.replace("`", " ")))
    flags -= {"--no-deps"}  # pip's
    assert {"--port", "--node", "--flush-ms", "--open"} == flags
    assert all(flag in shown.stdout for flag in flags)


def test_each_command_of_the_command_line_exists() -> None:
    """`python -m app WORD`."""
    words = set(re.findall(r"python -m app (\w+)", README))
    shown = subprocess.run(
        [sys.executable, "-m", "app", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert {"serve", "check", "chat", "cluster", "invite", "revoke"} == words
    assert [word for word in words if word not in shown.stdout] == []


def test_each_path_exists() -> None:
    """In backticks and in links."""
    paths = re.findall(r"`((?:app|static|tests|docs)[\w./]*)`", README) + re.findall(r"\]\((docs/[\w.]+)\)", README)
    assert len(paths) > 12
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_each_command_of_the_protocol_is_documented() -> None:
    """`docs/protocol.md` has every command, and every route."""
    assert [name for name in COMMANDS if f"`{name}`" not in PROTOCOL] == []
    assert [
        route
        for route in ("POST /chat", "/api/sessions/{id}/turns", "/health", "/live", "/ready")
        if route not in PROTOCOL
    ] == []


def test_the_words_of_the_errors_are_documented() -> None:
    """Each code that can be sent."""
    codes = set(re.findall(r'code[^=\n]*= "(\w+)"', (ROOT / "app" / "core" / "errors.py").read_text()))
    assert len(codes) > 12
    assert sorted(code for code in codes if f"`{code}`" not in PROTOCOL) == []
