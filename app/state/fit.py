"""Whether a Redis is fit to hold the state: its age, its eviction policy, its scripts, its clock, its latency."""

import statistics
import time
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError

LEAST: Final = {"redis": (7, 0), "valkey": (8, 0)}
SECONDS: Final = 5.0
PINGS: Final = 20


class Unfit(Exception):
    """This Redis cannot hold the state; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Fitness:
    """What was found: times in ms."""

    server: str
    version: str
    append_only: bool
    ping_ms: float
    clock_ms: float  # how far this machine's clock is ahead of Redis's

    @property
    def words(self) -> str:
        """The server, for people."""
        return f"{self.server.capitalize()} {self.version}"


async def fitness(url: str) -> Fitness:
    """Look at a Redis.

    Raises:
        Unfit: it does not answer, refuses, or is not fit.
    """
    try:
        redis: Redis = Redis.from_url(
            url, protocol=2, socket_timeout=SECONDS, socket_connect_timeout=SECONDS, retry=Retry(NoBackoff(), 0)
        )
    except ValueError as error:
        raise Unfit(f"REDIS_URL cannot be read ({error}); expected redis://:PASSWORD@HOST:PORT/DB") from error
    try:
        info: dict[str, Any] = await redis.info()
        _check(info)
        await redis.eval("return cmsgpack.pack({redis.call('TIME')})", 0)
        took = []
        for _ in range(PINGS):
            began = time.perf_counter()
            await redis.ping()
            took.append((time.perf_counter() - began) * 1000)
        seconds, micros = await redis.time()
        ahead = time.time() * 1000 - (seconds * 1000 + micros / 1000)
    except AuthenticationError as error:
        raise Unfit(f"REDIS_URL: the password is missing or wrong ({error})") from error
    except ResponseError as error:
        raise Unfit(f"REDIS_URL: this Redis refuses what is needed: {error}") from error
    except (RedisError, OSError) as error:
        raise Unfit(f"REDIS_URL: no Redis answers there ({error})") from error
    finally:
        await redis.aclose()
    name, version = _version(info)
    return Fitness(name, version, bool(info.get("aof_enabled")), statistics.median(took), ahead)


def _version(info: dict[str, Any]) -> tuple[str, str]:
    if "valkey_version" in info:
        return "valkey", str(info["valkey_version"])
    return "redis", str(info.get("redis_version", "0.0"))


def _check(info: dict[str, Any]) -> None:
    name, version = _version(info)
    seen = tuple(int(part) for part in version.split(".")[:2])
    if seen < LEAST[name]:
        least = ".".join(map(str, LEAST[name]))
        raise Unfit(f"REDIS_URL: this is {name} {version}; expected Redis 7.0 or Valkey 8, or later: {least} at least")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise Unfit(
            f"REDIS_URL: its maxmemory-policy is {policy}, so it would drop chats when memory is short; "
            "expected noeviction: redis-cli CONFIG SET maxmemory-policy noeviction"
        )
