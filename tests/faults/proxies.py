"""The proxies of `deploy/`, as people run them: the real programs, with the files that we ship.

Only what belongs to a machine is replaced in those: addresses, users, and where logs and pids go. Whatever is to be
replaced must be there once, so a file that changes is noticed here.
"""

import contextlib
import getpass
import grp
import os
import re
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.faults.nodes import lasting_ports
from tests.servers import ROOT, until
from tests.test_start import box

CHECKED: Final = {"nginx": "-t", "haproxy": "-c"}  # how each says whether its file is well
SHIPPED: Final = ("127.0.0.1:8001", "127.0.0.1:8002", "127.0.0.1:8003")
PATH: Final = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"  # where Debian has them, for people who are not root
BODIES: Final = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")  # what nginx makes folders for


@asynccontextmanager
async def proxied_by(program: str, ports: Sequence[int]) -> AsyncIterator[int]:
    """Run a proxy before the three nodes at `ports`, with the file that is shipped for it; yield its port.

    The proxy must find nothing wrong with the file, and live until it is killed in the end.
    """
    with tempfile.TemporaryDirectory() as folder, box(Path(folder)) as machine:
        [port] = lasting_ports(1)
        command = _command(program, Path(folder), port, ports)
        checked = machine.run([*command, CHECKED[program]])
        assert await checked.ended() == 0, checked.out + checked.err
        assert not re.search("warn|alert|emerg", checked.out + checked.err, re.IGNORECASE), checked.out + checked.err
        proxy = machine.run(command)
        try:
            await until(lambda: proxy.process.poll() is not None or _listens(port))
            yield port
            assert proxy.process.poll() is None, proxy.out + proxy.err
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(proxy.process.pid, signal.SIGKILL)  # with its workers
            proxy.process.wait()


def _command(program: str, folder: Path, port: int, ports: Sequence[int]) -> list[str]:
    """Write the proxy's file into a folder; return how the proxy is run with it, in the foreground."""
    path = shutil.which(program, path=PATH)
    assert path is not None, f"tests need {program} on PATH"
    nodes = {shipped: f"127.0.0.1:{own}" for shipped, own in zip(SHIPPED, ports, strict=True)}
    user, group = getpass.getuser(), grp.getgrgid(os.getgid()).gr_name
    if program == "haproxy":
        own = {"user haproxy": f"user {user}", "group haproxy": f"group {group}", "bind :8080": f"bind :{port}"}
        return [path, "-db", "-f", str(_written(folder, "haproxy.cfg", nodes | own))]
    own = {
        "user www-data;": f"user {user} {group};",
        "pid /run/nginx.pid;": f"pid {folder}/pid;",
        "error_log /var/log/nginx/error.log warn;": "error_log stderr warn;",
        "access_log /var/log/nginx/access.log;": f"access_log {folder}/access.log;",
        "http {": "http {\n" + "".join(f"    {kind}_temp_path {folder}/{kind};\n" for kind in BODIES),
        "listen 8080;": f"listen {port};",
    }
    return [path, "-e", "stderr", "-g", "daemon off;", "-c", str(_written(folder, "nginx.conf", nodes | own))]


def _written(folder: Path, name: str, replaced: Mapping[str, str]) -> Path:
    """Write a file of `deploy/` into a folder, with some of its text replaced."""
    text = (ROOT / "deploy" / name).read_text()
    for shipped, own in replaced.items():
        assert text.count(shipped) == 1, f"deploy/{name}: {shipped!r} is there {text.count(shipped)} times"
        text = text.replace(shipped, own)
    file = folder / name
    file.write_text(text)
    return file


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0
