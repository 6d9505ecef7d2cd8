"""Peers that run on Node: their packages are installed into a cache of the user's, once for each version."""

import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import ClassVar, Final

import platformdirs

from bench.machine import Place, Process, Unmeasurable
from bench.sockets import request
from bench.systems import Command, System
from bench.tokens import Ask

PEERS: Final = Path(__file__).parents[1] / "peers"
INSTALL_SECONDS: Final = 300.0
NPM: Final = ("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts")


class NodePeer(System):
    """A peer whose folder under `peers/` has its `package.json` and `server.js`."""

    folder: ClassVar[str]
    parses = False

    def missing(self) -> str | None:
        """Say which of Node and npm is not on PATH."""
        lacking = [program for program in ("node", "npm") if shutil.which(program) is None]
        return f"{' and '.join(lacking)} not on PATH" if lacking else None

    def install(self) -> Path:
        """Have its packages in the cache, and its program beside them; return that folder.

        Raises:
            Unmeasurable: npm cannot install them.
        """
        package = (PEERS / self.folder / "package.json").read_bytes()
        version = hashlib.sha256(package).hexdigest()[:12]
        cache = platformdirs.user_cache_path("chat") / "bench" / f"{self.folder}-{version}"
        if not (cache / "node_modules").is_dir():
            cache.mkdir(parents=True, exist_ok=True)
            (cache / "package.json").write_bytes(package)
            done = subprocess.run(  # noqa: S603 - our own command
                NPM, cwd=cache, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
            )
            if done.returncode:
                raise Unmeasurable(f"npm could not install {self.title}: {done.stderr[-500:]}")
        shutil.copy(PEERS / self.folder / "server.js", cache)
        shutil.copy(PEERS / "tokens.js", cache)
        return cache

    def node(self, name: str, port: int, around: Place, redis: Process, upstream: Process) -> Command:
        """A node."""
        environ = {"PORT": str(port), "REDIS_URL": f"redis://127.0.0.1:{redis.port}/0", "NODE_ENV": "production"}
        return Command(["node", str(self.install() / "server.js")], environ)

    async def say(self, port: int, session: str, ask: Ask) -> None:
        """Say it over HTTP."""
        await request(port, f"/say/{session}", {"text": ask.prompt})
