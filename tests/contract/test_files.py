"""The page's files, as a node serves them: whole, compressed, not twice, and nothing beside them."""

import os
import re
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
                content = re.sub(rb'<link rel="modulepreload"[^>]+>\n  ', b"", got.content)
                content = re.sub(rb'"/static/[0-9a-f]{16}/', b'"/static/', content)
                assert (got.status_code, content) == (200, path.read_bytes()), url
                asked = {"Accept-Encoding": encoding, "If-None-Match": got.headers["ETag"]}
                again = await client.get(url, headers=asked)
                assert (again.status_code, again.content) == (304, b""), url
        script = await client.get("/static/js/main.js")
        assert script.headers["Content-Type"].startswith("text/javascript")
        assert (script.headers["Content-Encoding"], script.headers["Cache-Control"]) == ("gzip", "no-cache")
        assert (await client.head("/static/js/main.js")).content == b""
        assert (await client.post("/static/js/main.js")).status_code == 405


async def test_a_page_names_what_is_kept_for_good(redis_url: str, model: Script) -> None:
    """All that it names has its version, and what that is is never asked for again; a module's imports have it too."""
    async with serving(redis_url, model) as node, httpx.AsyncClient(base_url=node.http) as client:
        page = await client.get("/")
        named = re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text)
        assert len(named) > 10
        (version,) = {url.split("/")[2] for url in named}
        assert re.fullmatch("[0-9a-f]{16}", version)
        for url in named:
            got = await client.get(url)
            assert got.content == (STATIC / url.removeprefix(f"/static/{version}/")).read_bytes()
            assert got.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            again = await client.get(url, headers={"If-None-Match": got.headers["ETag"]})
            assert (again.status_code, again.headers["Cache-Control"]) == (304, got.headers["Cache-Control"])
        for script in STATIC.rglob("*.js"):
            assert not re.search(r"""(?:from|import)\W*["']/""", script.read_text()), (
                f"{script} imports by a whole path"
            )
        assert page.headers["Cache-Control"] == "no-cache"
        other = await client.get(f"/static/{'0' * 16}/js/main.js")
        assert (other.content, other.headers["Cache-Control"]) == ((STATIC / "js/main.js").read_bytes(), "no-cache")
        assert (await client.get(f"/static/{version}/js/none.js")).headers["Cache-Control"] == "no-cache"
        for url in (f"/static/{version}", f"/static/{version}/", f"/static/{version}/{version}/js/main.js"):
            assert (await client.get(url)).status_code == 404


@pytest.mark.parametrize("page", ["index", "sign-in"])
def test_a_page_names_every_module_that_it_needs(page: str) -> None:
    """All that are imported from the one that it runs, each once; not what is imported when it is wanted."""
    text = TestClient(Files(STATIC)).get(f"/{page}.html").text
    (script,) = re.findall(r'<script type="module" src="/static/\w+/([^"]+)"', text)
    named = re.findall(r'<link rel="modulepreload" href="/static/\w+/([^"]+)"', text)
    assert len(named) == len(set(named)) > 5
    needed = set()
    for module in (script, *named):
        imports = re.findall(r'^import .*?from "([^"]+)"', (STATIC / module).read_text(), re.MULTILINE)
        needed |= {os.path.relpath((STATIC / module).parent / path, STATIC) for path in imports}
    assert set(named) == needed
    assert "js/view/highlight.js" not in named


@pytest.mark.parametrize(
    "path", ["../pyproject.toml", "%2e%2e/pyproject.toml", "js", "js/", "", "js/none.js", "//etc/passwd"]
)
async def test_nothing_else_is_served(redis_url: str, model: Script, path: str) -> None:
    """Neither what lies beside the folder nor the folder itself."""
    async with serving(redis_url, model) as node, httpx.AsyncClient(base_url=node.http) as client:
        assert (await client.get(httpx.URL(f"{node.http}/static/{path}"))).status_code == 404


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    """So that whoever works on the page sees what they wrote, and no version of it is another; what is gone is gone."""
    file = tmp_path / "a.txt"
    file.write_text("old " * 100)
    files = Files(tmp_path)
    client, versions = TestClient(files), {files.version}
    old = client.get("/a.txt")
    assert (old.text, old.headers["Content-Encoding"]) == ("old " * 100, "gzip")
    file.write_text("new")
    os.utime(file, ns=(1, 1))
    new = client.get("/a.txt", headers={"If-None-Match": old.headers["ETag"]})
    assert (new.status_code, new.text, "Content-Encoding" in new.headers) == (200, "new", False)
    assert client.get(f"/{files.version}/a.txt").text == "new"
    versions.add(files.version)
    (tmp_path / "b.txt").write_text("another")
    os.utime(tmp_path, ns=(1, 1))
    assert client.get("/b.txt").text == "another"
    versions.add(files.version)
    file.unlink()
    with pytest.raises(Exception, match="404"):
        client.get("/a.txt")
    assert len(versions | {files.version}) == 4
