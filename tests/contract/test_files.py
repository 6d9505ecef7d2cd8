"""The page's files, as a node serves them: whole, compressed, not twice, and nothing beside them."""

import os
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from app.edge.files import Files
from tests.servers import Script, serving

STATIC = Path(__file__).parents[2] / "static"


async def test_every_file_is_served_as_it_is(redis_url: str, model: Script) -> None:
    """With its kind, in either encoding; asked for again with its tag, it is not sent again."""
    async with serving(redis_url, model) as node, httpx.AsyncClient(base_url=node.http) as client:
        for path in (path for path in STATIC.rglob("*") if path.is_file()):
            url = f"/static/{path.relative_to(STATIC).as_posix()}"
            for encoding in ("gzip", "identity"):
                got = await client.get(url, headers={"Accept-Encoding": encoding})
                assert (got.status_code, got.content) == (200, path.read_bytes()), url
                asked = {"Accept-Encoding": encoding, "If-None-Match": got.headers["ETag"]}
                again = await client.get(url, headers=asked)
                assert (again.status_code, again.content) == (304, b""), url
        script = await client.get("/static/js/main.js")
        assert script.headers["Content-Type"].startswith("text/javascript")
        assert (script.headers["Content-Encoding"], script.headers["Cache-Control"]) == ("gzip", "no-cache")
        assert (await client.head("/static/js/main.js")).content == b""
        assert (await client.post("/static/js/main.js")).status_code == 405


@pytest.mark.parametrize(
    "path", ["../pyproject.toml", "%2e%2e/pyproject.toml", "js", "js/", "", "js/none.js", "//etc/passwd"]
)
async def test_nothing_else_is_served(redis_url: str, model: Script, path: str) -> None:
    """Neither what lies beside the folder nor the folder itself."""
    async with serving(redis_url, model) as node, httpx.AsyncClient(base_url=node.http) as client:
        assert (await client.get(httpx.URL(f"{node.http}/static/{path}"))).status_code == 404


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    """So that whoever works on the page sees what they wrote; what is gone is not found."""
    file = tmp_path / "a.txt"
    file.write_text("old " * 100)
    client = TestClient(Files(tmp_path))
    old = client.get("/a.txt")
    assert (old.text, old.headers["Content-Encoding"]) == ("old " * 100, "gzip")
    file.write_text("new")
    os.utime(file, ns=(1, 1))
    new = client.get("/a.txt", headers={"If-None-Match": old.headers["ETag"]})
    assert (new.status_code, new.text, "Content-Encoding" in new.headers) == (200, "new", False)
    file.unlink()
    with pytest.raises(Exception, match="404"):
        client.get("/a.txt")
