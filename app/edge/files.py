"""The page's files, from memory, each under two addresses.

`/static/NAME` is asked for again each time. `/static/VERSION/NAME`, which the pages name, is kept for good by whoever
had it: VERSION is a digest of all files, so that a page never has files of two versions from one node, and who comes
back asks for the page alone. A path with the version of another node, while nodes are replaced, gives what is here.

A page also names all modules that its script imports, and what they import: whoever has HTTP/2 fetches them at once.
"""

import contextlib
import gzip
import hashlib
import mimetypes
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

WORTH: Final = 0.9  # of its size: what is not smaller than that is not sent compressed
DIGITS: Final = 16  # of a version, in hex
VERSION: Final = re.compile(rf"[0-9a-f]{{{DIGITS}}}")
SAME: Final = ("ETag", "Vary", "Cache-Control")  # what is said of a file that is not sent again
SCRIPT: Final = re.compile(rb'<script type="module" src="/static/([^"]+)">')
IMPORTED: Final = re.compile(rb'^(?:import|export)\b[^"();]*"(\.[^"]+)";', re.MULTILINE)
FOR_GOOD: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class File:
    """One file, as it is sent."""

    kind: str
    tag: str
    data: bytes
    packed: bytes | None  # with gzip, where that is worth it


class Files:
    """The files under a folder, by their paths in it; an ASGI application for a mount at `/static`.

    They are read when the node begins, and again when one of them has changed since: for whoever works on the page.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        request = Request(scope, receive)
        if request.method not in ("GET", "HEAD"):
            raise HTTPException(405)
        name = request.url.path.removeprefix(scope.get("root_path", "")).removeprefix("/")
        version, _, rest = name.partition("/")
        if version == self.version:
            response = self._response(rest, request)
            response.headers["Cache-Control"] = FOR_GOOD
        else:
            response = self.response(rest if VERSION.fullmatch(version) else name, request)
        if response.headers["ETag"] in request.headers.get("If-None-Match", ""):
            kept = {name: response.headers[name] for name in SAME if name in response.headers}
            response = Response(status_code=304, headers=kept)
        await response(scope, receive, send)

    def response(self, name: str, request: Request) -> Response:
        """Give a file as it is now, whole; a page names the other files with their version.

        Raises:
            HTTPException: there is no such file.
        """
        if self._times != _times(self._times):
            self._read()
        return self._response(name, request)

    def _response(self, name: str, request: Request) -> Response:
        file = self._files.get(name)
        if file is None:
            raise HTTPException(404)
        packs = file.packed is not None and "gzip" in request.headers.get("Accept-Encoding", "")
        headers = {"ETag": f'"{file.tag}{"-gz" if packs else ""}"', "Vary": "Accept-Encoding"}
        headers |= {"Content-Encoding": "gzip"} if packs else {}
        return Response(file.packed if packs else file.data, headers=headers, media_type=file.kind)

    def _read(self) -> None:
        paths = [self._folder, *sorted(self._folder.rglob("*"))]
        self._times = _times(paths)
        read = {path.relative_to(self._folder).as_posix(): path.read_bytes() for path in paths if path.is_file()}
        read |= {name: _preloading(page, read) for name, page in read.items() if name.endswith(".html")}
        tags = "".join(f"{name} {_tag(data)}\n" for name, data in read.items())
        self.version = _tag(tags.encode())[:DIGITS]
        self._files = {name: _file(name, data, self.version) for name, data in read.items()}


def _times(paths: Iterable[Path]) -> dict[Path, int]:
    """When each was changed, files and folders, of those that are there (ns since 1970)."""
    times = {}
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            times[path] = path.stat().st_mtime_ns
    return times


def _preloading(page: bytes, read: Mapping[str, bytes]) -> bytes:
    """Have a page name the modules that its script imports."""
    script = SCRIPT.search(page)
    if script is None:
        return page
    names = _imported([script[1].decode()], read)[1:]
    links = "".join(f'<link rel="modulepreload" href="/static/{name}">\n  ' for name in names)
    return page[: script.start()] + links.encode() + page[script.start() :]


def _imported(names: list[str], read: Mapping[str, bytes]) -> list[str]:
    """Name these modules, and after them all that they import, each once."""
    for name in names:
        for found in IMPORTED.findall(read[name]):
            other = posixpath.normpath(posixpath.join(posixpath.dirname(name), found.decode()))
            if other in read and other not in names:
                names.append(other)
    return names


def _tag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def _file(name: str, data: bytes, version: str) -> File:
    if name.endswith(".html"):
        data = data.replace(b'"/static/', b'"/static/%b/' % version.encode())
    packed = gzip.compress(data, mtime=0)
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return File(kind, _tag(data), data, packed if len(packed) < WORTH * len(data) else None)
