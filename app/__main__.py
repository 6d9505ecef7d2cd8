"""The command line: `python -m app [serve | cluster | check | chat | tail | invite | revoke]`; `serve` by default."""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Coroutine, Sequence
from typing import Any, Final

import uvloop

from app import config
from app.check import check
from app.client.terminal import chat, tail
from app.config import SettingError
from app.core.errors import ChatError
from app.members import LINK_DAYS, invite, revoke
from app.processes import cluster, workers
from app.start import start

NOISY: Final = ("httpx", "httpx2", "openai", "uvicorn.error")
WHERE: Final = "http://127.0.0.1:8000"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0 done, 1 not fit, 2 a setting is wrong."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or (given[0].startswith("-") and given[0] not in ("-h", "--help")):
        given.insert(0, "serve")
    options = vars(_parser().parse_args(given))
    try:
        return _command(options)
    except (SettingError, ChatError) as error:
        print(f"chat: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m app", description="A realtime chat backend for LLM agents.")
    commands = parser.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve", help="serve one node (the default)")
    serving.add_argument("--workers", type=int, default=1, metavar="N", help="serve N nodes on one port")
    serving.add_argument("--open", action="store_true", help="open the page in a browser")
    serving.add_argument("--listener", type=int, help=argparse.SUPPRESS)  # a socket that a parent process holds
    many = commands.add_parser("cluster", help="serve several nodes on one state, each on a port of its own")
    many.add_argument("count", type=int, nargs="?", default=3, metavar="N", help="how many (3)")
    checking = commands.add_parser("check", help="say whether state and model are fit")
    for one in (serving, many, checking):
        config.flags(one)
    inviting = commands.add_parser("invite", help="print a link by which somebody signs in, once (AUTH=jwt)")
    inviting.add_argument("name")
    inviting.add_argument("--days", type=float, default=LINK_DAYS, help=f"how long the link is good ({LINK_DAYS})")
    inviting.add_argument("--url", help="where the page is (the first of NODES, or HOST and PORT)")
    revoking = commands.add_parser("revoke", help="sign somebody out everywhere, within 2 s (AUTH=jwt)")
    revoking.add_argument("name", nargs="?", help="what they were invited as, or their subject")
    revoking.add_argument("--issuer", default="", help="who vouches for that subject (else: any whose tokens counted)")
    revoking.add_argument("--key", default="", help="instead of the name: the user's key, as in welcome and the audit")
    revoking.add_argument("--token", default="", help="instead of the name: a token, or its jti")
    for one in (inviting, revoking):
        config.flags(one)
    chatting = commands.add_parser("chat", help="chat in this terminal")
    tailing = commands.add_parser("tail", help="print a session's log as it grows")
    tailing.add_argument("session")
    for one in (chatting, tailing):
        one.add_argument("url", nargs="?", default=WHERE, metavar="URL", help=f"a node's address ({WHERE})")
        one.add_argument(
            "--user", default=os.environ.get("USER", "me"), help="your name, in guest mode (else: CHAT_TOKEN)"
        )
    chatting.add_argument("--session", help="go on with this session")
    return parser


def _command(options: dict[str, Any]) -> int:
    match options["command"]:
        case "chat":
            return _run(chat(options["url"], user=options["user"], session=options["session"]))
        case "tail":
            return _run(tail(options["url"], user=options["user"], session=options["session"]))
    settings = config.read(os.environ, options)
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for noisy in NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)
    match options["command"]:
        case "check":
            logging.disable(logging.INFO)
            return _run(check(settings))
        case "invite":
            return _run(invite(settings, options["name"], days=options["days"], url=options["url"]))
        case "revoke":
            told = {"user": options["key"], "name": options["name"] or "", "token": options["token"]}
            return _run(revoke(settings, issuer=options["issuer"], **told))
        case "cluster":
            return _run(cluster(settings, _many(options["count"])))
        case _ if options["workers"] > 1:
            return _run(workers(settings, _many(options["workers"])))
        case _:
            return _run(start(settings, listener=options["listener"], open_browser=options["open"]))


def _many(count: int) -> int:
    if not 1 <= count <= 64:
        raise SettingError(f"{count} nodes; expected 1 to 64")
    return count


def _run(work: Coroutine[Any, Any, int | None]) -> int:
    """Run to the end, on uvloop; return the exit code. SIGINT counts, also where a shell began this behind itself."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return uvloop.run(work) or 0


if __name__ == "__main__":
    sys.exit(main())
