"""What `docs/tools.md` shows does what it says."""

import json
import re
from pathlib import Path

import httpx
import pytest

from app.agent.tools.declared import loaded
from app.core.model import User
from app.edge.sign_in import INVITED
from app.stateless import ISSUER
from tests.people import JWT, bearer
from tests.servers import ROOT, Script, call, serving

EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "tools.md").read_text(), re.DOTALL)


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The examples, each as a module."""
    monkeypatch.syspath_prepend(tmp_path)
    names = [f"documented_tools_{number}" for number in range(len(EXAMPLES))]
    for name, text in zip(names, EXAMPLES, strict=True):
        (tmp_path / f"{name}.py").write_text(text)
    return names


def test_the_examples_can_be_loaded(modules: list[str]) -> None:
    """As `TOOLS` does it."""
    assert {one.get_tool_schema()["name"] for one in loaded(modules)} == {"weather", "pay", "account"}


@pytest.mark.parametrize(
    ("claims", "outcome"),
    [
        ({"iss": "https://login.example"}, {"data": "17"}),
        ({"iss": "https://login.example", "subject": "eve"}, {"data": "18"}),
        ({"iss": "https://other.example"}, {"error": "there is no account"}),
        ({}, {"error": "there is no account"}),
    ],
)
async def test_a_tool_knows_who_asks(
    redis_url: str, model: Script, modules: list[str], claims: dict[str, str], outcome: dict[str, str]
) -> None:
    """Whom it has names for, by issuer and subject; another issuer's are others."""
    model.answers.extend([[call("account", {})], ["So."]])
    body = {"session_id": "s", "message": "Which is my account?"}
    async with serving(redis_url, model, tools=loaded(modules), **JWT) as served, httpx.AsyncClient() as client:
        answer = await client.post(f"{served.http}/chat", json=body, headers=bearer(**claims))
    assert answer.json()["response"] == "So."
    assert json.loads(model.asked[1][-1]["content"]) == outcome


def test_who_vouches_for_whom_is_as_the_table_says() -> None:
    """Keys are made from these for ever."""
    table = dict(re.findall(r"^\| ([^|]+) \| `([\w:]+)` \|", (ROOT / "docs" / "tools.md").read_text(), re.MULTILINE))
    assert list(table.values()) == [INVITED, ISSUER]
    assert User.of(ISSUER, "ada").key != User.of(INVITED, "ada").key
