"""The eight packages of the project are declared, and used for what they are for."""

import ast
import re
import sys
import tomllib

from tests.servers import ROOT

USED = {
    "starlette": "app/edge/app.py",
    "uvicorn": "app/edge/serve.py",
    "websockets": "app/client/link.py",
    "redis": "app/state/connect.py",
    "openai": "app/agent/llm.py",
    "msgpack": "app/core/protocol.py",
    "pytest": "tests/conftest.py",
    "httpx": "tests/contract/test_http.py",
}
IMPORTED_AS = {"PyJWT": "jwt"}


def test_each_is_declared_and_used() -> None:
    """In the project's dependencies or its tests', and imported where its work is done."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    names = {requirement.split(">")[0].split("=")[0] for requirement in declared}
    assert set(USED) <= names
    for package, path in USED.items():
        tree = ast.parse((ROOT / path).read_text())
        imported = {
            alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
        }
        imported |= {str(node.module).split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert package in imported, f"{package} is not used in {path}"


def test_what_is_imported_is_declared() -> None:
    """Nothing is used that a fresh environment would lack."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = [*project["dependencies"], *project["optional-dependencies"]["local"],
                    *project["optional-dependencies"]["mcp"]]  # fmt: skip
    called = {re.split("[>=[]", requirement)[0].replace("-", "_") for requirement in requirements}
    declared = {IMPORTED_AS.get(name, name) for name in called}
    for path in (ROOT / "app").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                top = name.split(".")[0]
                assert top in declared | {"app"} or top in sys.stdlib_module_names, f"{path.name}: {top}"
