"""`python -m app invite` and `revoke`: who may come in, said from a terminal that reaches the state."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from app.config import SettingError, Settings
from app.core.errors import BadFrame
from app.edge import operators, sign_in
from app.state.audit import Audit
from app.state.connect import database, opened
from app.state.credentials import Credentials
from app.state.embedded import NoServer, embedded
from app.state.pulse import Pulse
from app.state.script import Scripts

LINK_DAYS: Final = 7.0
DAY: Final = 86_400


async def invite(settings: Settings, name: str, *, days: float, url: str | None) -> None:
    """Print a link by which `name` signs in, once, within so many days.

    Raises:
        SettingError, StateUnavailable
    """
    if settings.auth != "jwt":
        raise SettingError("AUTH is guest: nobody needs an invitation; set AUTH=jwt")
    if not 0 < days <= 3650:
        raise SettingError(f"--days is {days:g}; expected more than 0, at most 3650")
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    where = url or (settings.nodes[0] if settings.nodes else f"http://{host}:{settings.port}")
    async with _scripts(settings) as scripts:
        pulse = Pulse(scripts, "")
        await pulse.beat()
        try:
            secret = await sign_in.invite(Credentials(scripts), pulse, name, seconds=days * DAY)
        except BadFrame as error:
            raise SettingError(error.message) from error
        await _audit(scripts).record("invited", sign_in.invited(name), name=name)
    print(f"{where.rstrip('/')}/sign-in#invite={secret}")


async def revoke(settings: Settings, *, user: str, name: str, issuer: str, token: str) -> None:
    """Sign out a user, by key or name, or whomever a token vouches for, everywhere.

    Raises:
        SettingError, StateUnavailable
    """
    told = {key: value for key, value in (("user", user), ("name", name), ("token", token)) if value}
    if len(told) != 1:
        raise SettingError("revoke whom? expected exactly one of NAME, --key KEY and --token TOKEN")
    async with _scripts(settings) as scripts:
        pulse = Pulse(scripts, "")
        try:
            await operators.revoke(pulse, settings, issuer=issuer, **told)
        except BadFrame as error:
            raise SettingError(error.message) from error
        shown = told | ({"token": operators.shown(token)} if token else {})
        await _audit(scripts).record("revoked", None, **shown)
    print("signed out: every node knows it within 2 s")


@asynccontextmanager
async def _scripts(settings: Settings) -> AsyncIterator[Scripts]:
    """Reach the state."""
    try:
        if settings.redis_url:
            async with opened(settings.redis_url) as pipe:
                yield Scripts(pipe, database(settings.redis_url))
            return
        async with embedded(settings.data_dir) as url, opened(url) as pipe:
            yield Scripts(pipe)
    except (NoServer, OSError) as error:
        raise SettingError(f"the state in DATA_DIR {settings.data_dir} cannot be reached: {error}") from error


def _audit(scripts: Scripts) -> Audit:
    return Audit(scripts, f"terminal-{secrets.token_hex(4)}", node="terminal")
