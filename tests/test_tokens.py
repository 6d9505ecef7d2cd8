"""edge.tokens: whose tokens count, and whose do not."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app import config
from app.core.errors import Expired, Unauthorized, Unavailable
from app.core.identity import authorise
from app.core.model import User
from app.edge import tokens
from app.edge.tokens import Tokens, digest
from tests.people import OTHER, SECRET, Signer, claims, token
from tests.servers import free_port


def checker(**settings: Any) -> Tokens:
    """What checks tokens, with these settings."""
    told = {"AUTH": "jwt", "JWT_SECRETS": SECRET} | {name.upper(): str(value) for name, value in settings.items()}
    return Tokens(config.read(told, {}))


def keys(folder: Path, *signers: Signer) -> Path:
    """A file with a key set."""
    file = folder / "keys.json"
    file.write_text(json.dumps({"keys": [signer.public for signer in signers]}))
    return file


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_a_secret_of_several(algorithm: str) -> None:
    """Each of `JWT_SECRETS` counts, so that they can be rotated; another does not."""
    both = checker(jwt_secrets=f"{OTHER}, {SECRET}")
    for secret in (SECRET, OTHER):
        assert (await both.identity(token(secret=secret, algorithm=algorithm))).user == User.of("", "ada")
    with pytest.raises(Unauthorized, match="signed"):
        await checker(jwt_secrets=OTHER).identity(token(algorithm=algorithm))


@pytest.mark.parametrize("algorithm", ["RS256", "RS512", "PS256", "ES256", "ES384", "ES512", "EdDSA"])
async def test_a_key_of_the_set(tmp_path: Path, algorithm: str) -> None:
    """Asymmetric tokens count by the set's public keys, with a kid or without; those of another key do not."""
    known, other = Signer(algorithm, "one"), Signer(algorithm, "two")
    check = checker(jwks_url=keys(tmp_path, known))
    assert (await check.identity(known.token("eve"))).user == User.of("", "eve")
    nameless = token("eve", secret=known.key, algorithm=algorithm)
    assert (await check.identity(nameless)).user == User.of("", "eve")
    for wrong in (other.token(), token(secret=other.key, algorithm=algorithm, kid="one")):
        with pytest.raises(Unauthorized, match="no key"):
            await check.identity(wrong)


async def test_a_public_key_is_no_secret(tmp_path: Path) -> None:
    """A token signed by HMAC with the public key, and one that is not signed at all, do not count (RFC 8725, 2.1)."""
    signer = Signer("RS256", "one")
    check = checker(jwks_url=keys(tmp_path, signer))
    pem = signer.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"one"}').rstrip(b"=")
    body = base64.urlsafe_b64encode(json.dumps(claims()).encode()).rstrip(b"=")
    algorithm = jwt.get_algorithm_by_name("HS256")
    forged = head + b"." + body + b"."
    signed = forged[:-1] + b"." + base64.urlsafe_b64encode(algorithm.sign(forged[:-1], pem)).rstrip(b"=")
    unsigned = jwt.encode(claims(), "", algorithm="none")
    for wrong in (signed.decode(), unsigned, token(secret=SECRET, algorithm="HS256", kid="one") + "x"):
        with pytest.raises(Unauthorized):
            await check.identity(wrong)


@pytest.mark.parametrize(
    ("settings", "more", "words"),
    [
        ({}, {"exp": None}, "exp is missing"),
        ({}, {"sub": None}, "sub is missing"),
        ({}, {"sub": ""}, "sub is empty"),
        ({}, {"sub": 7}, "sub"),
        ({}, {"sub": "a\0b"}, "sub"),
        ({}, {"sub": "x" * 513}, "sub"),
        ({}, {"iss": "chat:invite"}, "one of ours"),
        ({}, {"iss": "guest:name"}, "one of ours"),
        ({}, {"nbf": 2**40}, "not valid yet"),
        ({"jwt_issuer": "https://id.example"}, {}, "iss is missing"),
        ({"jwt_issuer": "https://id.example"}, {"iss": "https://evil.example"}, "another issuer"),
        ({"jwt_audience": "chat"}, {}, "aud is missing"),
        ({"jwt_audience": "chat,talk"}, {"aud": "mail"}, "another audience"),
    ],
)
async def test_what_a_token_must_say(settings: dict[str, str], more: dict[str, Any], words: str) -> None:
    """Each claim that is missing or wrong is told in words."""
    with pytest.raises(Unauthorized, match=words) as caught:
        await checker(**settings).identity(token(**({"sub": "ada"} | more) if "sub" not in more else _with(more)))
    assert not isinstance(caught.value, Expired)


def _with(more: dict[str, Any]) -> dict[str, Any]:
    """`sub` is the first argument of `token`."""
    return {"subject": more["sub"]} | {name: value for name, value in more.items() if name != "sub"}


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "a.b", "eyJhbGciOiJIUzI1NiJ9..", "é.é.é", "x" * 9000])
async def test_what_is_no_token(text: str) -> None:
    """Anything else is refused, in bounded time."""
    with pytest.raises(Unauthorized):
        await checker().identity(text)


async def test_issuer_and_audience() -> None:
    """Named as they must be, they count; the issuer is part of who somebody is."""
    check = checker(jwt_issuer="https://id.example", jwt_audience="chat,talk")
    found = await check.identity(token(iss="https://id.example", aud=["mail", "talk"]))
    assert found.user == User.of("https://id.example", "ada") != User.of("", "ada")


async def test_expiry_and_leeway() -> None:
    """What has expired says so; within `JWT_LEEWAY` it counts, until then, and a revocation counts for it as long."""
    old = token(seconds=-5)
    with pytest.raises(Expired):
        await checker().identity(old)
    found = await checker(jwt_leeway=30).identity(old)
    said = jwt.decode(old, SECRET, algorithms=["HS256"], options={"verify_exp": False})
    assert (found.issued_at, found.expires_at) == ((said["iat"] - 30) * 1000, (said["exp"] + 30) * 1000)
    assert authorise(found, "chat", round(time.time() * 1000), lambda _: False) == User.of("", "ada")


async def test_what_becomes_of_the_claims() -> None:
    """Times in ms, the role, and the token's id as a digest."""
    said = claims(jti="t-1", role="operator")
    found = await checker().identity(jwt.encode(said, SECRET))
    assert (found.role, found.issued_at, found.expires_at) == ("operator", said["iat"] * 1000, said["exp"] * 1000)
    assert found.tokens == (digest("t-1"),)
    assert (await checker().identity(token(roles=["x", "operator"]))).role == "operator"
    for more in ({"roles": "operators"}, {"role": ["operator"]}, {"role": "Operator"}, {}):
        assert (await checker().identity(token(**more))).role == "user"


@asynccontextmanager
async def served(state: dict[str, Any]) -> AsyncIterator[str]:
    """A server of key sets that says what `state` has, and counts."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        state["asked"] = state.get("asked", 0) + 1
        if "gate" in state:
            state["reached"].set()
            await state["gate"].wait()
        body = state["body"]
        writer.write(b"HTTP/1.1 %d x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (state["status"], len(body)))
        writer.write(body)
        await writer.drain()
        writer.close()

    port = free_port()
    async with await asyncio.start_server(answer, "127.0.0.1", port):
        yield f"http://127.0.0.1:{port}/keys"


async def test_keys_are_rotated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token with a key that is not in the set has it read again; one that cannot be had leaves the keys as before."""
    monkeypatch.setattr(tokens, "SOON_SECONDS", 0.0)
    old, new = Signer("ES256", "old"), Signer("ES256", "new")
    state: dict[str, Any] = {"status": 200, "body": json.dumps({"keys": [old.public]}).encode()}
    async with served(state) as url:
        check = checker(jwks_url=url)
        for _ in range(3):
            await check.identity(old.token())
        assert state["asked"] == 1
        state["body"] = json.dumps({"keys": [old.public, new.public]}).encode()
        await check.identity(new.token())
        state["status"] = 500
        with pytest.raises(Unauthorized):
            await check.identity(Signer("ES256", "third").token())
        assert state["asked"] == 3
        await check.identity(old.token())


async def test_many_wait_for_one_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever needs the keys while they are being read is served when they are, at the start and when one is new."""
    monkeypatch.setattr(tokens, "SOON_SECONDS", 0.0)
    old, new = Signer("ES256", "old"), Signer("ES256", "new")
    state: dict[str, Any] = {"status": 200, "gate": asyncio.Event(), "reached": asyncio.Event()}
    async with served(state) as url:
        check = checker(jwks_url=url)
        for asked, (signer, known) in enumerate([(old, [old]), (new, [old, new])], 1):
            state["body"] = json.dumps({"keys": [one.public for one in known]}).encode()
            waiting = [asyncio.create_task(check.identity(signer.token())) for _ in range(9)]
            await state["reached"].wait()
            state["reached"].clear()
            late = asyncio.create_task(check.identity(signer.token()))
            state["gate"].set()
            assert {found.user for found in await asyncio.gather(*waiting, late)} == {User.of("", "ada")}
            assert state["asked"] == asked
            state["gate"].clear()


async def test_strangers_do_not_have_keys_asked_for_often() -> None:
    """Tokens with keys that nobody knows have the set read at most once in a while."""
    state: dict[str, Any] = {"status": 200, "body": json.dumps({"keys": [Signer("ES256", "one").public]}).encode()}
    stranger = Signer("ES256", "two").token()
    async with served(state) as url:
        check = checker(jwks_url=url)
        for _ in range(20):
            with pytest.raises(Unauthorized):
                await check.identity(stranger)
        assert state["asked"] == 1


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"keys": 7}', b'{"keys": [7]}', b"x" * (2 * 1024 * 1024)])
async def test_keys_that_cannot_be_had(body: bytes) -> None:
    """Without any key nobody is refused for good: it is for now."""
    async with served({"status": 200, "body": body}) as url:
        with pytest.raises(Unavailable):
            await checker(jwks_url=url).identity(Signer("ES256").token())


async def test_secrets_in_a_key_set_do_not_count(tmp_path: Path) -> None:
    """A set is public: a symmetric key in it vouches for nobody, and one that is for encryption neither."""
    oct_key = {"kty": "oct", "k": base64.urlsafe_b64encode(b"x" * 32).decode(), "alg": "HS256"}
    signer = Signer("RS256", "one", use="enc")
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [oct_key, signer.public, Signer("ES256", "good").public]}))
    check = checker(jwks_url=file)
    for wrong in (token(secret="x" * 32), signer.token()):
        with pytest.raises(Unauthorized):
            await check.identity(wrong)
