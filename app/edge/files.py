"""The page's files, from memory: a page asks for about a hundred, and each from the disk costs a node 2 ms.

What is there is found once, when the node begins; a file that is changed later is read again.
"""

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

WORTH: Final = 0.9  # of its size: what is not smaller than that is not sent compressed


@dataclass(frozen=True, slots=True)
class File:
    """One file, as it was at a time."""

    modified_ns: int
    kind: str
    tag: str
    data: bytes
    packed: bytes | None  # with gzip, where that is worth it


class Files:
    """The files under a folder, by their paths in it; an ASGI application for a mount."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = {
            path.relative_to(folder).as_posix(): _read(path) for path in sorted(folder.rglob("*")) if path.is_file()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        request = Request(scope, receive)
        if request.method not in ("GET", "HEAD"):
            raise HTTPException(405)
        name = request.url.path.removeprefix(scope.get("root_path", "")).removeprefix("/")
        response = self.response(name, request)
        if response.headers["ETag"] in request.headers.get("If-None-Match", ""):
            response = Response(status_code=304, headers={"ETag": response.headers["ETag"], "Vary": "Accept-Encoding"})
        await response(scope, receive, send)

    def response(self, name: str, request: Request) -> Response:
        """Give a file, whole.

        Raises:
            HTTPException: there is no such file.
        """
        file = self._now(name)
        packs = file.packed is not None and "gzip" in request.headers.get("Accept-Encoding", "")
        headers = {"ETag": f'"{file.tag}{"-gz" if packs else ""}"', "Vary": "Accept-Encoding"}
        headers |= {"Content-Encoding": "gzip"} if packs else {}
        return Response(file.packed if packs else file.data, headers=headers, media_type=file.kind)

    def _now(self, name: str) -> File:
        """A file as it is now."""
        file, path = self._files.get(name), self._folder / name
        if file is None:
            raise HTTPException(404)
        try:
            if path.stat().st_mtime_ns != file.modified_ns:
                file = self._files[name] = _read(path)
        except OSError as error:
            raise HTTPException(404) from error
        return file


def _read(path: Path) -> File:
    modified_ns, data = path.stat().st_mtime_ns, path.read_bytes()
    packed = gzip.compress(data, mtime=0)
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    tag = hashlib.sha256(data).hexdigest()[:32]
    return File(modified_ns, kind, tag, data, packed if len(packed) < WORTH * len(data) else None)
