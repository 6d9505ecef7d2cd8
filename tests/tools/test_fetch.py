"""Fetching: what is read of a page, and the bounds of it."""

import asyncio
import gzip
import time

import pytest

from app.agent.tools.fetch import BODY_BYTES, TEXT_BYTES, Fetch
from tests.servers import free_port, until
from tests.tools import called
from tests.tools.site import TLS, Answer, Site, moved, page, refusal, site

HTML = """<!doctype html><html><head><title> A  tale </title><style>p {color: red}</style>
<script>if (1 < 2) alert("<p>no</p>")</script></head><body><noscript>no <b>script</b></noscript>
<h1>Once</h1><p>there was a <a href="/x">link</a>,
&amp; an&nbsp;end.</p><template><p>hidden</p></template><ul><li>one<li>two</ul><pre>a
b</pre></body></html>"""


async def test_a_page_is_read_as_a_person_would() -> None:
    """Title and text; no scripts, styles, templates; links keep their text; one line for each block."""
    async with site({"/tale?x=1": page(HTML.encode())}) as here:
        got = await called(here.fetch(), url=here.url("/tale?x=1#part"))
        text = "Once\nthere was a link, & an end.\none\ntwo\na\nb"
        assert got == {
            "url": here.url("/tale?x=1"), "status": 200, "title": "A tale", "text": text, "cut": False,
        }  # fmt: skip
        head = here.asked[0]
        assert head.startswith("GET /tale?x=1 HTTP/1.1\r\n")
        assert f"Host: site.test:{here.port}\r\n" in head
        assert "accept-encoding: identity\r\n" in head.lower()
        assert not [line for line in head.lower().split("\r\n") if line.startswith(("cookie", "authorization"))]


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("text/plain", "<b>é</b>".encode(), "<b>é</b>"),
        ("text/plain; charset=ISO-8859-1", "é".encode("latin-1"), "é"),
        ("text/plain; charset=punycode", b"a-b-c", "a-b-c"),
        ("text/plain; charset=rot13", b"abc", "abc"),
        ("text/plain; charset=utf-8", b"\xff\xfe!", "\ufffd\ufffd!"),
        ("text/html", b"<meta charset=windows-1252><p>\x80", "€"),
        ("application/json", b'{"a": [1]}', '{"a": [1]}'),
        ("application/feed+json", b"{}", "{}"),
        ("application/xml", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"),
        ("application/xhtml+xml", b"<html><p>x</p><p>y</p></html>", "x\ny"),
    ],
)
async def test_kinds_of_text(kind: str, body: bytes, text: str) -> None:
    """What it says of itself is believed, as far as it does no harm."""
    async with site({"/": page(body, kind)}) as here:
        assert (await called(here.fetch(), url=here.url()))["text"] == text


async def test_what_is_not_there_is_read_too() -> None:
    """An error page is a page, with its status."""
    async with site({"/": page(b"none here", "text/plain", "404 Not Found")}) as here:
        got = await called(here.fetch(), url=here.url())
        assert (got["status"], got["text"]) == (404, "none here")


@pytest.mark.parametrize("kind", ["image/png", "application/octet-stream", "application/pdf", "", "text"])
async def test_only_text_is_read(kind: str) -> None:
    """Binary content is not, whatever it is called."""
    async with site({"/": page(b"\0\1\2", kind)}) as here:
        assert "only text is read" in await refusal(here.fetch(), here.url())


async def test_a_compressed_bomb_is_not_unpacked() -> None:
    """Nothing is asked for compressed, and nothing is taken so."""
    bomb = gzip.compress(bytes(20_000_000))
    async with site({"/": page(bomb, "text/plain", Content_Encoding="gzip")}) as here:
        begun = time.monotonic()
        assert "encoded as 'gzip'" in await refusal(here.fetch(), here.url())
        assert time.monotonic() - begun < 1


async def test_a_huge_body_is_read_to_its_bound() -> None:
    """Reading stops, and the rest stays where it is."""
    sent = 0

    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()
            sent += 65_536

    async with site({"/": endless}) as here:
        got = await called(here.fetch(), url=here.url())
        assert (got["text"], got["cut"]) == ("x" * TEXT_BYTES, True)
        await until(lambda: here.left)
        assert BODY_BYTES - 65_536 <= sent < 16 * BODY_BYTES


async def test_a_slow_body_has_its_time() -> None:
    """Past it the call fails, and the connection is closed."""

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nabc")
        assert await reader.read() == b""  # until whoever asked has gone

    async with site({"/": slow}) as here:
        fetch = here.fetch()
        fetch.seconds = 0.2
        assert await refusal(fetch, here.url()) == "it took longer than 0.2 s"
        await until(lambda: here.left)


async def test_redirects_are_followed() -> None:
    """To where they lead, relative ones too; what is told is the end of the way."""
    answers: dict[str, Answer] = {
        "/": moved("/b/c", "301 Moved Permanently"), "/b/c": moved("d?e=f#g", "308 Permanent Redirect"),
        "/b/d?e=f": page(b"here", "text/plain"),
    }  # fmt: skip
    async with site(answers) as here:
        got = await called(here.fetch(), url=here.url())
        assert (got["url"], got["text"]) == (here.url("/b/d?e=f"), "here")
        assert here.looked_up == ["site.test"] * 3


async def test_a_redirect_without_end() -> None:
    """It has its bound."""
    async with site({"/": moved("/")}) as here:
        assert await refusal(here.fetch(), here.url()) == "more than 5 redirects"
        assert len(here.asked) == 6


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://site.test/", "expected http://"), ("site.test", "expected http://"), ("http:///x", "no host"),
        ("http://a\nb/", "not a URL"), ("http://[::1", "not a URL"), ("http://site.test:99999/", "port 99999"),
        ("http://site.test:22/", "port 22"), ("http://user@site.test/", "name or password"),
        ("http://nobody.invalid/", "there is no nobody.invalid"), ("http://" + "a" * 70 + ".test/", ""),
        ("javascript:alert(1)", "expected http://"), ("data:text/plain,x", "expected http://"),
    ],
)  # fmt: skip
async def test_what_is_no_url_of_a_page(url: str, why: str) -> None:
    """It is refused, and the model is told why."""
    assert why in await refusal(Fetch(tls=TLS), url)


async def test_a_host_that_does_not_answer() -> None:
    """It is told as such, without an address; a broken answer too."""
    async with site({"/": b"nonsense\r\n\r\n", "/half": page(b"abc", "text/plain", Content_Length="9")}) as here:
        for path in ("/", "/half"):
            assert await refusal(here.fetch(), here.url(path)) == "site.test cannot be read: RemoteProtocolError"
        gone = Site(free_port(), {})
        assert await refusal(gone.fetch(), gone.url()) == "site.test cannot be read: ConnectError"


async def test_a_long_page_is_cut() -> None:
    """There is as much of its text as fits."""
    async with site({"/": page(b"<title>t</title><p>" + "é ".encode() * 100_000)}) as here:
        got = await called(here.fetch(), url=here.url())
        assert (got["title"], got["cut"]) == ("t", True)
        assert TEXT_BYTES - 2 <= len(got["text"].encode()) <= TEXT_BYTES
