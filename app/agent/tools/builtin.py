"""The tools that come along, by the names under which an operator asks for them."""

from collections.abc import Callable, Iterable
from typing import Final

from app.agent.tools.calculator import calculator
from app.agent.tools.clock import clock
from app.agent.tools.declared import WrongTools
from app.agent.tools.fetch import Fetch
from app.agent.tools.own import OwnSessions
from app.agent.tools.tool import StatelessTool
from app.state.sessions import Sessions
from app.state.users import Users

NONE: Final = "none"


def builtins(names: Iterable[str], users: Users, sessions: Sessions) -> list[StatelessTool]:
    """Make those built-in tools that are named, each once; `none` alone names none.

    Raises:
        WrongTools: there is none of that name.
    """
    known: dict[str, Callable[[], StatelessTool]] = {
        "time": lambda: clock,
        "calculator": lambda: calculator,
        "search_chats": lambda: OwnSessions(users, sessions),
        "fetch": Fetch,
    }
    wanted = [name for name in dict.fromkeys(names) if name != NONE]
    for name in wanted:
        if name not in known:
            raise WrongTools(f"there is no built-in tool {name!r}; expected some of {', '.join(known)}")
    return [known[name]() for name in wanted]
