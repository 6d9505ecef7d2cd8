"""Sites on this machine that the tool `fetch` takes for public ones: raw answers, so that they may be as bad as any."""

import asyncio
import contextlib
import ssl
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
from app.agent.tools.fetch import Fetch
from app.agent.tools.network import public, resolved
from tests.servers import free_port
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
        given: dict[str, Any] = {
            "resolve": self.resolve,
            "allowed": lambda one: one == HERE or public(one),
            "tls": TLS,
        } | more
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


def certified(folder: Path, *names: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
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
