"""Fetching from public addresses alone, however they are written and wherever one is sent."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.agent.tools.fetch import Fetch
from app.agent.tools.network import public
from tests.servers import free_port
from tests.tools import called
from tests.tools.site import HERE, TLS, Answer, Site, certified, moved, page, refusal, site


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
        ("2002:808:808::1", False), ("2002:a00:1::1", False), ("64:ff9b:1::5db8:d822", False), ("fec0::1", False),
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


async def test_certificates_are_verified(tmp_path: Path) -> None:
    """By the name, though an address is dialled; and only those whom somebody trusts."""
    server, trusting = certified(tmp_path, "site.test")
    async with site({"/": page(b"secret", "text/plain")}, server) as here:
        good = here.url(scheme="https")
        assert (await called(here.fetch(tls=trusting), url=good))["text"] == "secret"
        other = here.url(host="other.test", scheme="https")
        assert await refusal(here.fetch(tls=trusting), other) == "other.test cannot be read: ConnectError"
        assert await refusal(here.fetch(tls=None), good) == "site.test cannot be read: ConnectError"
        assert len(here.asked) == 1
