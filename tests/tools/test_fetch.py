"""Fetching: public addresses alone, however they are written and wherever one is sent; bounded; text."""

import asyncio
import contextlib
import gzip
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.agent.tools import ToolError
from app.agent.tools.fetch import BODY_BYTES, TEXT_BYTES, Fetch
from app.agent.tools.network import public, resolved
from app.agent.tools.readable import readable
from tests.servers import free_port, until
from tests.tools import called

TLS = ssl.create_default_context()
HERE = "127.0.0.2"  # where the sites of these tests are; 127.0.0.1 is as private as ever
Answer = bytes | Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Site:
    """A site, known as `site.test`: what it answers by path, and what it was asked."""

    port: int
    answers: dict[str, Answer]
    asked: list[str] = field(default_factory=list)
    looked_up: list[str] = field(default_factory=list)
    left: int = 0

    def url(self, path: str = "/", host: str = "site.test", scheme: str = "http") -> str:
        """Where one of its pages is."""
        return f"{scheme}://{host}:{self.port}{path}"

    def fetch(self, **more: Any) -> Fetch:
        """The tool, to which this site is a public one."""
        given = {"resolve": self.resolve, "allowed": lambda one: one == HERE or public(one), "tls": TLS} | more
        return Fetch(ports={80, 443, self.port}, **given)

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """Know the names of these tests, and leave others to the system."""
        self.looked_up.append(host)
        return [HERE] if host.endswith(".test") else await resolved(host, port)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.asked.append(head)
            answer = self.answers[head.split()[1]]
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(reader, writer)
        self.left += 1
        writer.close()


@asynccontextmanager
async def site(answers: dict[str, Answer], tls: ssl.SSLContext | None = None, at: str = HERE) -> AsyncIterator[Site]:
    """Run a site."""
    here = Site(free_port(), answers)
    server = await asyncio.start_server(here.answer, at, here.port, ssl=tls)
    async with server:
        yield here


def page(body: bytes, kind: str = "text/html; charset=utf-8", status: str = "200 OK", **headers: str) -> bytes:
    """An answer, as it goes over the wire."""
    told = {"Content-Type": kind, "Content-Length": str(len(body)), "Connection": "close"}
    told |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in told.items() if value)
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


def moved(to: str, status: str = "302 Found") -> bytes:
    """An answer that sends elsewhere."""
    return page(b"", status=status, Location=to)


async def refusal(tool: Fetch, url: str) -> str:
    """Why a URL is not fetched."""
    with pytest.raises(ToolError) as caught:
        await called(tool, url=url)
    return str(caught.value)


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
    ("to", "why"),
    [
        ("http://127.0.0.1/", "127.0.0.1 is not a public address"),
        ("http://169.254.169.254/latest/meta-data/", "169.254.169.254 is not a public address"),
        ("http://[::1]/", "::1 is not a public address"),
        ("http://[::ffff:127.0.0.1]/", " is not a public address"),
        ("http://localhost/", "localhost is not a public address"),
        ("//127.0.0.1/", "127.0.0.1 is not a public address"),
        ("file:///etc/passwd", "expected http:// or https://, got 'file'"),
        ("gopher://site.test/", "expected http:// or https://, got 'gopher'"),
        ("http://site.test:6379/", "port 6379 is not fetched from"),
        ("http://ada:secret@site.test/", "a URL with a name or password in it is not fetched"),
    ],
)
async def test_a_redirect_leads_nowhere_else(to: str, why: str) -> None:
    """What holds for a URL holds for each that it leads to."""
    async with site({"/": moved(to)}) as here:
        assert why in await refusal(here.fetch(), here.url())
        assert len(here.asked) == 1


@pytest.mark.parametrize(
    "host",
    [
        "2130706433", "0x7f.1", "0x7f000001", "0177.0.0.1", "127.1", "127.0.0.1", "0", "0.0.0.0", "10.0.0.1",
        "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "255.255.255.255", "localhost",
        "[::]", "[::1]", "[fe80::1]", "[fd00:ec2::254]", "[ff02::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]", "[64:ff9b::a9fe:a9fe]", "[2002:7f00:1::]", "[2002:a9fe:a9fe::1]",
        "[2001:0:4136:e378:8000:63bf:3fff:fdd2]", "[::127.0.0.1]", "127.0.0.1.", "１２７.0.0.1",
    ],
)  # fmt: skip
async def test_addresses_in_every_form(host: str) -> None:
    """What is not public is not dialled, whatever it is written as; and no more is said of it."""
    why = await refusal(Fetch(tls=TLS), f"http://{host}/")
    assert "not a public address" in why or "there is no" in why or "not a URL" in why, why
    assert "not a public address" in why or host in ("１２７.0.0.1", "0177.0.0.1", "127.0.0.1."), why


@pytest.mark.parametrize(
    ("address", "is_public"),
    [
        ("93.184.216.34", True), ("2606:2800:220:1::1", True), ("64:ff9b::5db8:d822", True), ("::ffff:8.8.8.8", True),
        ("2002:808:808::1", True), ("2002:a00:1::1", False), ("64:ff9b:1::5db8:d822", False), ("fec0::1", False),
        ("192.0.0.8", False), ("192.88.99.1", False), ("198.18.0.1", False), ("240.0.0.1", False), ("0.1.2.3", False),
        ("168.63.129.16", False), ("100.100.100.200", False), ("2001:db8::1", False), ("3fff::1", False),
        ("2606:2800:220:1::1%eth0", False), ("fe80::1%eth0", False), ("site.test", False), ("", False),
    ],
)  # fmt: skip
def test_public_addresses(address: str, is_public: bool) -> None:
    """The Internet's, and those that carry one of them."""
    assert public(address) == is_public


async def test_all_addresses_of_a_name_are_checked() -> None:
    """One that is not public is enough to refuse it; so is none."""
    async with site({"/": page(b"x", "text/plain")}) as here:

        async def mixed(host: str, port: int) -> Sequence[str]:
            return ["93.184.216.34", HERE, "10.0.0.1"]

        async def none(host: str, port: int) -> Sequence[str]:
            return []

        for resolve in (mixed, none):
            assert await refusal(here.fetch(resolve=resolve), here.url()) == "site.test is not a public address"
        assert here.asked == []


async def test_a_name_that_changes_leads_nowhere_else() -> None:
    """It is looked up once; the address that was checked is the one that is dialled; and each redirect looks again."""
    answers: dict[str, Answer] = {"/": page(b"public", "text/plain"), "/away": moved("/")}
    async with site(answers) as here:
        inside = Site(here.port, {"/": page(b"private", "text/plain")})
        async with await asyncio.start_server(inside.answer, "127.0.0.1", here.port):
            addresses = [HERE, "127.0.0.1"]

            async def rebinding(host: str, port: int) -> Sequence[str]:
                return [addresses.pop(0)]

            assert (await called(here.fetch(resolve=rebinding), url=here.url()))["text"] == "public"
            assert addresses == ["127.0.0.1"]
            addresses.insert(0, HERE)
            assert "not a public address" in await refusal(here.fetch(resolve=rebinding), here.url("/away"))
            assert (len(here.asked), inside.asked) == (2, [])


async def test_no_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where the environment names one."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    async with site({"/": page(b"direct", "text/plain")}) as here:
        assert (await called(here.fetch(), url=here.url()))["text"] == "direct"


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


def _certified(folder: Path, *names: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's TLS for names, and that of a client who trusts whoever signed it."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(issuer).issuer_name(issuer).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = folder / "both.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cafile=str(path))


async def test_certificates_are_verified(tmp_path: Path) -> None:
    """By the name, though an address is dialled; and only those whom somebody trusts."""
    server, trusting = _certified(tmp_path, "site.test")
    async with site({"/": page(b"secret", "text/plain")}, server) as here:
        good = here.url(scheme="https")
        assert (await called(here.fetch(tls=trusting), url=good))["text"] == "secret"
        other = here.url(host="other.test", scheme="https")
        assert await refusal(here.fetch(tls=trusting), other) == "other.test cannot be read: ConnectError"
        assert await refusal(here.fetch(tls=None), good) == "site.test cannot be read: ConnectError"
        assert len(here.asked) == 1


@pytest.mark.parametrize(
    "tangle",
    ["<", "<a ", "<!--", "<![CDATA[", "<!", "</", "</a ", "<?", "&", "&#", "<a b='", "<title>", "<script>", "<div>",
     "<p a=1 ", "<pre>\n", "<!a", "<template>"],
)  # fmt: skip
async def test_no_page_takes_long(tangle: str) -> None:
    """Reading one is bounded, and meanwhile the node goes on; what was read by then stands."""
    page = "<title>a tale</title>" + tangle * (BODY_BYTES // len(tangle))
    longest, seen = 0.0, time.monotonic()
    reading = asyncio.create_task(asyncio.to_thread(_measured, page))
    while not reading.done():
        await asyncio.sleep(0.002)
        longest, seen = max(longest, time.monotonic() - seen), time.monotonic()
    title, took = reading.result()
    assert title.startswith("a tale")
    assert took < 1
    assert longest < 1


def _measured(page: str) -> tuple[str, float]:
    """A page's title, and how long this thread computed for it."""
    begun = time.thread_time()
    return readable(page, TEXT_BYTES, 0.05)[0], time.thread_time() - begun


async def test_a_long_page_is_cut() -> None:
    """There is as much of its text as fits."""
    async with site({"/": page(b"<title>t</title><p>" + "é ".encode() * 100_000)}) as here:
        got = await called(here.fetch(), url=here.url())
        assert (got["title"], got["cut"]) == ("t", True)
        assert TEXT_BYTES - 2 <= len(got["text"].encode()) <= TEXT_BYTES


@pytest.mark.parametrize(
    ("page", "title", "text", "cut"),
    [
        ("", "", "", False), ("a</noscript></script>b", "", "ab", False), ("<p>a<![broken[ x>b", "", "a", True),
        ("a<p>&#" + "9" * 5000 + ";", "", "a", True), ("<title>x</title>y<svg><title>z</title></svg>", "x", "y", False),
        ("<p>a<script>b", "", "a", False), ("a<br>b<td>c<td>d", "", "a\nb c d", False), ("&lt;b&gt;", "", "<b>", False),
    ],
)  # fmt: skip
def test_broken_pages(page: str, title: str, text: str, cut: bool) -> None:
    """What can be read of them is."""
    assert readable(page, TEXT_BYTES) == (title, text, cut)
