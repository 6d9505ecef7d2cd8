"""What outlives a process, as one node has it: all that is read and written in Redis, over two connections."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.state.audit import Audit
from app.state.bounds import Bounds
from app.state.bus import Bus
from app.state.cache import CachedStateStorage
from app.state.connect import Pipe, connector, database
from app.state.contexts import Contexts
from app.state.credentials import Credentials
from app.state.erase import Eraser
from app.state.holds import Holds
from app.state.keys import node_channel
from app.state.pulse import Pulse
from app.state.rates import Rates
from app.state.runs import Runs
from app.state.script import Scripts
from app.state.sessions import Sessions
from app.state.storage import RedisStateStorage
from app.state.users import Users


@dataclass(frozen=True, slots=True)
class Ears:
    """Who is told of what the bus brings: a channel's data; and that something may have been missed."""

    heard: Callable[[str, bytes], None]
    missed: Callable[[], None]


class State:
    """All of it. `incarnation` is the node's name for this life, `name` what people call it."""

    def __init__(
        self, redis_url: str, *, incarnation: str, name: str, bounds: Bounds, context_s: float, metadata_s: float,
        ears: Ears,
    ) -> None:  # fmt: skip
        connect, number = connector(redis_url), database(redis_url)
        self.own = node_channel(incarnation)
        self.pipe = Pipe(connect)
        self.bus = Bus(connect, self.own, database=number, heard=ears.heard, missed=ears.missed)
        scripts = Scripts(self.pipe, number)
        self.damaged: Counter[str] = Counter()  # values that could not be read, and were left out, by kind
        known: dict[str, Any] = {"incarnation": incarnation, "name": name, "bounds": bounds, "damaged": self.damaged}
        self.sessions = Sessions(scripts, **known)
        self.runs = Runs(scripts, **known)
        self.holds = Holds(scripts, bounds=bounds)
        self.users = Users(scripts, session_s=bounds.session_s)
        self.contexts = Contexts(scripts, context_s=context_s, metadata_s=metadata_s, damaged=self.damaged)
        self.pulse = Pulse(scripts, incarnation)
        self.rates = Rates(scripts, self.pulse, incarnation)
        self.credentials = Credentials(scripts)
        self.eraser = Eraser(scripts, self.credentials)
        self.audit = Audit(scripts, incarnation, node=name)
        self.storage = CachedStateStorage(RedisStateStorage(self.sessions, self.contexts), self.bus)
