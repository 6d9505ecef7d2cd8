"""The command line: `python -m app serve`."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence

import uvloop

from app import config
from app.agent.llm import Limits, OpenAIModel
from app.config import SettingError, Settings
from app.core.errors import ChatError
from app.edge.serve import listen, serve
from app.node import running


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m app", description="A realtime chat backend for LLM agents.")
    commands = parser.add_subparsers(dest="command")
    serving = commands.add_parser("serve", help="serve one node (the default command)")
    config.flags(serving)
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or (given[0].startswith("-") and given[0] not in ("-h", "--help")):
        given.insert(0, "serve")
    options = vars(parser.parse_args(given))
    try:
        settings = config.read(os.environ, options)
        logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        for noisy in ("httpx", "httpx2", "openai", "uvicorn.error"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        uvloop.run(_serve(settings))
    except (SettingError, ChatError) as error:
        print(f"chat: {error}", file=sys.stderr)
        return 2
    return 0


async def _serve(settings: Settings) -> None:
    listener = listen(settings)
    limits = Limits(settings.connect_seconds, settings.first_token_seconds, settings.next_token_seconds)
    model = await OpenAIModel.connect(
        base_url=settings.openai_base_url, api_key=settings.openai_api_key, name=settings.model_name, limits=limits
    )
    try:
        async with running(settings, model) as node:
            print(
                f"chat: node {settings.node} at http://{settings.host}:{settings.port}, model {model.names[0]}",
                flush=True,
            )
            await serve(node, listener)
    finally:
        await model.close()
        listener.close()


if __name__ == "__main__":
    sys.exit(main())
