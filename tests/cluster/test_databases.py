"""Two deployments in two databases of one Redis. Redis has its channels by server: only their names keep them apart."""

import asyncio

import redis as redis_package

from app.client import connect
from tests.servers import Script, serving, until


async def test_deployments_in_two_databases_hear_nothing_of_each_other(redis_url: str, model: Script) -> None:
    """The same user, session, message and text, said in the same moment: each hears its own log, and its own hints."""
    other = f"{redis_url.removesuffix('0')}1"
    pieces = [f"{index} " for index in range(40)]
    model.answers += [[step for piece in pieces for step in (piece, 0.005)] for _ in range(2)]
    with redis_package.Redis.from_url(redis_url) as redis, redis.pubsub() as all_channels:
        all_channels.psubscribe("*")
        async with (
            serving(redis_url, model, "a") as a,
            serving(other, model, "b") as b,
            connect(a.ws, user="ada") as one,
            connect(b.ws, user="ada") as two,
        ):
            await asyncio.gather(one.watch(), two.watch())
            said = await asyncio.gather(*(chat.say("Count.", session="s", id="m") for chat in (one, two)))
            answers = await asyncio.gather(*(each.answer() for each in said))
            assert [answer["text"] for answer in answers] == ["".join(pieces)] * 2
            assert (one.differs, two.differs, a.node.hub.tally.healed, b.node.hub.tally.healed) == (0, 0, 0, 0)
            await until(lambda: one.listed and two.listed)
            assert not {*a.node.state.bus.channels} - {*b.node.state.bus.channels} - {a.node.state.own}
        heard = {str(message["channel"]) for message in iter(lambda: all_channels.get_message(timeout=0.2), None)}
        ours = {channel for channel in heard if ":live" in channel or ":stale" in channel}
        assert {channel.removesuffix("@1'") for channel in ours if channel.endswith("@1'")} == {
            channel.removesuffix("'") for channel in ours if not channel.endswith("@1'")
        }
