"""Every knob, read once, from the environment; each but the secret ones is also a flag of `serve`.

A missing or wrong setting is one line that names it, what was seen and what was expected.
"""

import argparse
import ipaddress
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin
from urllib.parse import urlsplit

import platformdirs

from app.core.model import Dialect, Takeover
from app.state.connect import SCHEMES

DATA: Final = Path("\0")  # stands for the user's data folder; no path can be it
TRUE, FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


class SettingError(Exception):
    """A setting is missing or wrong; the message is one line for a person."""


def knob(default: Any, text: str, *, secret: bool = False) -> Any:
    """Declare a setting: its default, what it does, and whether it must not be a flag."""
    return field(default=default, metadata={"help": text, "secret": secret})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one node is told. Names are those of the environment, in lower case."""

    host: str = knob("127.0.0.1", "address to listen on")
    port: int = knob(8000, "port to listen on")
    admin_host: str = knob("127.0.0.1", "address to listen on for operators")
    admin_port: int = knob(0, "port for operators: /metrics, /drain (default: none)")
    node: str = knob("", "this node's name, as people see it (default: node-PORT)")
    nodes: tuple[str, ...] = knob((), "comma-separated URLs of all nodes, for clients to go to")
    data_dir: Path = knob(DATA, "where an embedded state and a local model's server live (default: the data folder)")
    redis_url: str = knob("", "redis://, rediss:// or unix:// of a Redis >= 7.0 or Valkey >= 8 (default: embedded)")
    openai_base_url: str | None = knob(None, "an OpenAI-compatible upstream, e.g. http://127.0.0.1:11434/v1")
    openai_api_key: str | None = knob(None, "the upstream's key", secret=True)
    model_name: str | None = knob(None, "the model to ask (default: the upstream's first)")
    models: Path | None = knob(None, "a TOML file of [[model]] tables, instead of the three above")
    model_tools: bool = knob(True, "whether the model is told of tools")
    tools: tuple[str, ...] = knob((), "comma-separated modules with tools of your own")
    builtin_tools: tuple[str, ...] = knob(
        ("time", "calculator", "search_chats"), "comma-separated: time, calculator, search_chats, fetch; or none"
    )
    mcp: Path | None = knob(None, "a TOML file of [[server]] tables: Model Context Protocol servers with tools")
    tool_steps: int = knob(10, "how often the model may speak in one answer: between, its calls are made")
    hold_days: float = knob(3.0, "how long an answer waits for a person who is to allow a call, or has paused it")
    titles: bool = knob(True, "whether the model gives a session its title after the first answer")
    model_takeover: Takeover = knob("restart", "how an answer goes on elsewhere: restart, continue, resume or fail")
    model_prefix: Dialect = knob("trailing", "how to continue: trailing, continue_final_message or prefix")
    run_seconds: float = knob(600.0, "how long one answer may take in all")
    connect_seconds: float = knob(5.0, "how long connecting to the upstream may take")
    first_token_seconds: float = knob(60.0, "how long the upstream may think before its first token")
    next_token_seconds: float = knob(30.0, "how long the upstream may pause between tokens")
    auth: Literal["guest", "jwt"] = knob("guest", "who may come in: guest, or who has signed in: jwt")
    allow_guests: bool = knob(False, "let guests in from elsewhere than this machine")
    allowed_origins: tuple[str, ...] = knob((), "comma-separated origins of pages that may connect")
    trusted_proxies: tuple[str, ...] = knob((), "comma-separated addresses or networks whose X-Forwarded-* count")
    jwt_secrets: tuple[str, ...] = knob((), "comma-separated secrets of tokens with HS256, HS384 or HS512", secret=True)
    jwks_url: str | None = knob(None, "URL or file of the key set of tokens with RS, PS, ES or EdDSA")
    jwt_issuer: str | None = knob(None, "the issuer that tokens must name")
    jwt_audience: tuple[str, ...] = knob((), "the audience that tokens must name; comma-separated: one of these")
    jwt_leeway: float = knob(0.0, "seconds by which the clocks of issuer and node may differ")
    sign_in_days: float = knob(30.0, "how long somebody stays signed in, by an invitation, or at the most by a token")
    limits: Literal["on", "off"] = knob("on", "whether the following bounds hold")
    max_sockets: int = knob(20_000, "how many sockets this node takes")
    max_sockets_per_user: int = knob(10, "how many sockets of a user all nodes take together")
    max_runs_per_user: int = knob(3, "how many answers of a user may be under way")
    rate_turns: float = knob(120.0, "how many turns a user may say in a minute")
    rate_frames: float = knob(3000.0, "how many frames and requests a user may send in a minute")
    rate_bytes: float = knob(16_777_216.0, "how many bytes a user may send in a minute")
    rate_connects: float = knob(120.0, "how often a user may connect in a minute")
    rate_tokens: int = knob(0, "how many tokens a user may use in a day (UTC)")
    rate_address: float = knob(20.0, "how many times as much an address may do as a user")
    lease_seconds: float = knob(6.0, "how long a silent producer keeps the right to its run")
    flush_ms: int = knob(40, "how long text is gathered before it is sent on")
    drain_seconds: float = knob(20.0, "how long a stopping node goes on with its answers")
    history_turns: int = knob(100, "how many turns of a session are kept")
    history_days: float = knob(7.0, "how long a session is kept after its last activity")
    context_days: float = knob(30.0, "how long what is known of a user is kept after they last spoke")
    metadata_hours: float = knob(24.0, "how long what is derived of a session is kept")
    model_temperature: float = knob(0.1, "how freely a model chooses its words, where neither session nor MODELS says")
    window_turns: int = knob(10, "how many earlier turns the model sees")
    log_level: str = knob("info", "how much is logged: debug, info, warning, error")

    def __post_init__(self) -> None:
        if not self.node:
            object.__setattr__(self, "node", f"node-{self.port}")
        if self.data_dir == DATA:
            object.__setattr__(self, "data_dir", platformdirs.user_data_path("chat"))


SECRETS: Final = frozenset(f.name for f in fields(Settings) if f.metadata["secret"])


def flags(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each setting that is not a secret."""
    for knob_ in fields(Settings):
        if knob_.metadata["secret"]:
            continue
        name = "--" + knob_.name.replace("_", "-")
        more: dict[str, Any] = {"nargs": "?", "const": "1"} if knob_.type is bool else {}
        parser.add_argument(name, metavar=knob_.name.upper(), help=knob_.metadata["help"], **more)


def read(environ: Mapping[str, str], given: Mapping[str, str | None]) -> Settings:
    """Read the settings: a flag that was given wins over the environment.

    Raises:
        SettingError: one is missing or wrong.
    """
    values: dict[str, Any] = {}
    for knob_ in fields(Settings):
        text = given.get(knob_.name)
        if text is None:
            text = environ.get(knob_.name.upper())
        if text is not None and (text.strip() or knob_.type is bool):
            values[knob_.name] = _value(knob_.name.upper(), knob_.type, text.strip())
    settings = Settings(**values)
    _check(settings)
    return settings


def environ(settings: Settings) -> dict[str, str]:
    """Give settings as an environment that reads as the same; the secret ones are left to the real environment."""
    told: dict[str, str] = {}
    for knob_ in fields(Settings):
        value = getattr(settings, knob_.name)
        if value is not None and knob_.name not in SECRETS:
            text = (
                ",".join(value)
                if isinstance(value, tuple)
                else str(int(value))
                if isinstance(value, bool)
                else str(value)
            )
            told[knob_.name.upper()] = text
    return told


def _value(name: str, kind: Any, text: str) -> Any:
    try:
        if kind is bool:
            if text.lower() not in TRUE + FALSE:
                raise ValueError
            return text.lower() in TRUE
        if kind in (int, float, Path):
            return kind(text)
        if get_origin(kind) is Literal:
            if text not in get_args(kind):
                raise SettingError(f"{name} is {text!r}; expected {' or '.join(get_args(kind))}")
            return text
    except ValueError:
        expected = {bool: "1 or 0", int: "a whole number", float: "a number"}[kind]
        raise SettingError(f"{name} is {text!r}; expected {expected}") from None
    if kind == tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return Path(text) if kind == Path | None else text


def _check(settings: Settings) -> None:
    """Hold the settings to what makes sense together."""
    if settings.redis_url and not settings.redis_url.startswith(SCHEMES):
        scheme = settings.redis_url.partition("://")[0][:20]
        raise SettingError(f"REDIS_URL begins with {scheme!r}; expected {', '.join(SCHEMES)}")
    for name, url in (("OPENAI_BASE_URL", settings.openai_base_url), *(("NODES", url) for url in settings.nodes)):
        if url is not None and not (urlsplit(url).scheme in ("http", "https") and urlsplit(url).netloc):
            raise SettingError(f"{name} has {url!r}; expected http://HOST or https://HOST")
    for origin in settings.allowed_origins:
        if not re.fullmatch(r"https?://[^/?#]+", origin):
            raise SettingError(f"ALLOWED_ORIGINS has {origin!r}; expected an origin such as https://chat.example")
    for proxy in settings.trusted_proxies:
        try:
            ipaddress.ip_network(proxy, strict=False)
        except ValueError:
            expected = "expected an address or a network such as 10.0.0.0/8"
            raise SettingError(f"TRUSTED_PROXIES has {proxy!r}; {expected}") from None
    if settings.auth == "guest" and not settings.allow_guests and not loopback(settings.host):
        raise SettingError(
            f"HOST is {settings.host!r}, and AUTH is guest: without a login it serves this machine only. "
            "Set HOST=127.0.0.1, or AUTH=jwt, or ALLOW_GUESTS=1 on a network that you trust"
        )
    if not 1 <= settings.port <= 65535:
        raise SettingError(f"PORT is {settings.port}; expected 1 to 65535")
    if not 0 <= settings.admin_port <= 65535:
        raise SettingError(f"ADMIN_PORT is {settings.admin_port}; expected 1 to 65535, or 0 for none")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", settings.node):
        raise SettingError(f"NODE is {settings.node!r}; expected 1 to 64 of A-Z a-z 0-9 _ . -")
    for name in ("run_seconds", "connect_seconds", "first_token_seconds", "next_token_seconds", "lease_seconds",
                 "history_turns", "history_days", "context_days", "metadata_hours", "window_turns",
                 "sign_in_days", "hold_days", "tool_steps"):  # fmt: skip
        if not getattr(settings, name) > 0:
            raise SettingError(f"{name.upper()} is {getattr(settings, name)}; expected more than 0")
    for name in ("jwt_leeway", "model_temperature", "max_sockets", "max_sockets_per_user", "max_runs_per_user",
                 "rate_turns", "rate_frames", "rate_bytes", "rate_connects", "rate_tokens",
                 "rate_address"):  # fmt: skip
        if not 0 <= getattr(settings, name) < math.inf:
            raise SettingError(f"{name.upper()} is {getattr(settings, name)}; expected 0 or more")
    if urlsplit(settings.jwks_url or "").scheme not in ("http", "https", "file", ""):
        raise SettingError(f"JWKS_URL is {settings.jwks_url!r}; expected https://HOST/PATH, or a file")
    if not 0 <= settings.flush_ms <= 10_000:
        raise SettingError(f"FLUSH_MS is {settings.flush_ms}; expected 0 to 10000")
    if settings.log_level not in ("debug", "info", "warning", "error"):
        raise SettingError(f"LOG_LEVEL is {settings.log_level!r}; expected debug, info, warning or error")


def loopback(host: str) -> bool:
    """Say whether a host name or address is this machine's own."""
    host = host.strip("[]").lower()
    return host in ("localhost", "::1") or bool(re.fullmatch(r"127(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}", host))
