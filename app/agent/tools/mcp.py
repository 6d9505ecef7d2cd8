"""Tools of Model Context Protocol servers, from a TOML file of `[[server]]` tables.

    [[server]]
    name = "files"                                    # its tools are called files__<tool>
    command = ["mcp-server-time"]                     # a server that is begun here and spoken to over stdio; or
    url = "https://mcp.example/mcp"                   # one elsewhere, over streamable HTTP
    headers = { Authorization = "env:FILES_TOKEN" }   # what one elsewhere is sent; env: a variable of the environment
    env = { KEY = "env:FILES_KEY" }                   # the environment of one here; of ours it has PATH,
                                                      # HOME, LANG, USER, LOGNAME, SHELL and TERM, and no more
    tools = ["read"]                                  # which of its tools; left out: all
    approval = "always"                               # a person is asked before each call: always, never, or writes:
                                                      # unless the server says that the tool only reads
    seconds = 30                                      # how long a call may take

Rules: what a server says of itself is never trusted. Its tools stand under the name that it has here, and no name that
it gives reaches beyond that. It is sent arguments, and nothing of who asks. Whether it is there at all is its affair:
a node starts without it, and has its tools when it comes. The package `mcp` is needed only where there is such a file.
"""

import asyncio
import math
import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

import msgspec

from app.agent.tools.declared import WrongTools
from app.agent.tools.tool import SECONDS, StatelessTool

if TYPE_CHECKING:
    from app.agent.tools.mcp_link import Link

# Without `__` in it or `_` at its end: then no two servers can have tools of one name, whatever they call them.
NAME: Final = re.compile(r"(?!.*__)[A-Za-z0-9_-]{0,31}[A-Za-z0-9-]\Z")
HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")  # RFC 9110, 5.6.2
VARIABLE: Final = re.compile(r"[^=\0]+\Z")
FROM_ENVIRON: Final = "env:"

Approval = Literal["always", "writes", "never"]


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[server]]`."""

    name: str
    command: list[str] | None = None
    url: str | None = None
    headers: dict[str, str] = {}
    env: dict[str, str] = {}
    tools: list[str] | None = None
    approval: Approval = "always"
    seconds: float = SECONDS


class Entries(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file."""

    server: list[Entry]


class Servers:
    """All MCP servers of a node: the source of those of their tools that can be called now."""

    def __init__(self, links: Sequence["Link"]) -> None:
        self._links = links

    @classmethod
    def of(cls, file: Path, environ: Mapping[str, str]) -> "Servers":
        """Read the file; none of its servers is asked before `run`.

        Raises:
            WrongTools: the file is not right, or the package is not there.
        """
        read = entries(file, environ)
        try:
            from app.agent.tools.mcp_link import Link  # an extra, and slow to load
        except ImportError as error:
            raise WrongTools(f"{file}: the package mcp is missing ({error}); pip install 'chat[mcp]'") from error
        return cls([Link(entry) for entry in read])

    @property
    def tools(self) -> Sequence[StatelessTool]:
        """Those of the servers that are there now; see `toolbox.Source`."""
        return [one for link in self._links for one in link.tools]

    async def come(self, name: str) -> None:
        """Return when the server is there whose tools are named so; see `toolbox.Source`."""
        for link in self._links:
            await link.come(name)

    async def run(self) -> None:
        """Keep a connection to each server until cancelled; a server that is not there is tried again and again."""
        async with asyncio.TaskGroup() as group:
            for link in self._links:
                group.create_task(link.keep())


def entries(file: Path, environ: Mapping[str, str]) -> list[Entry]:
    """Read the file, with what it has from the environment.

    Raises:
        WrongTools
    """
    try:
        found = msgspec.convert(tomllib.loads(file.read_text()), Entries).server
    except OSError as error:
        raise WrongTools(f"{file}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise WrongTools(f"{file}: is not right: {error}") from error
    for name, count in Counter(entry.name for entry in found).items():
        if count > 1:
            raise WrongTools(f"{file}: {count} servers are named {name!r}; expected names of their own")
    for entry in found:
        if wrong := _wrong(entry):
            raise WrongTools(f"{file}: server {entry.name!r} {wrong}")
    return [_filled(file, entry, environ) for entry in found]


def _wrong(entry: Entry) -> str | None:
    """What is wrong with a server's table: what was seen, and what was expected."""
    if not NAME.match(entry.name):
        return "has a wrong name; expected 1 to 32 of A-Z a-z 0-9 _ -, without __ and without _ at the end"
    if (entry.command is None) == (entry.url is None):
        seen = "neither command nor url" if entry.url is None else "both command and url"
        return f"has {seen}; expected one of them"
    if entry.command is not None and not (entry.command and entry.command[0]):
        return f"has command {entry.command!r}; expected a program and its arguments"
    if entry.url is not None and not (urlsplit(entry.url).scheme in ("http", "https") and urlsplit(entry.url).netloc):
        return f"has url {entry.url!r}; expected http://HOST/PATH or https://HOST/PATH"
    if entry.headers and entry.url is None:
        return "has headers and no url; expected env with a command"
    if entry.env and entry.command is None:
        return "has env and no command; expected headers with a url"
    if not 0 < entry.seconds < math.inf:
        return f"has seconds {entry.seconds:g}; expected more than 0"
    return None


def _filled(file: Path, entry: Entry, environ: Mapping[str, str]) -> Entry:
    """A server's table with what it has from the environment; none of the values is ever shown.

    Raises:
        WrongTools
    """

    def value(where: str, given: str) -> str:
        if not given.startswith(FROM_ENVIRON):
            return given
        name = given.removeprefix(FROM_ENVIRON)
        if not environ.get(name):
            raise WrongTools(f"{file}: server {entry.name!r} has {where} in {name}, which is not set")
        return environ[name]

    headers = {key: value(f"header {key}", given) for key, given in entry.headers.items()}
    for key, text in headers.items():
        if not (HEADER.match(key) and text.isascii() and text.isprintable()):
            raise WrongTools(f"{file}: server {entry.name!r} has header {key!r}; expected printable ASCII in one line")
    env = {key: value(f"env {key}", given) for key, given in entry.env.items()}
    for key, text in env.items():
        if not VARIABLE.match(key) or "\0" in text:
            raise WrongTools(f"{file}: server {entry.name!r} has env {key!r}; expected a variable's name and text")
    inherited = {key: environ[key] for key in ("PATH", "HOME", "LANG") if key in environ}
    return msgspec.structs.replace(entry, headers=headers, env=inherited | env)
