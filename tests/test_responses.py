"""agent.responses: an upstream that keeps its answers, over real HTTP: whatever breaks, no token is generated twice."""

import asyncio
import contextlib
import logging
import time
from dataclasses import replace
from functools import partial

import httpx
import pytest

from app.agent.flow import Piece, PlaceLost, pieces
from app.agent.llm import Limits
from app.agent.responses import ResponsesModel
from app.core.breaker import Breaker
from app.core.errors import ChatError, ContentRefused, ModelTimeout, ModelUnavailable
from tests.responses_upstream import (
    ASK,
    FAILED,
    QUICK,
    Step,
    answer,
    begun,
    drained,
    node,
    provider,
    said,
    thinks,
    whole,
)  # fmt: skip
from tests.servers import becomes
from tests.test_origin import llmock


async def undisturbed() -> Piece:
    """What `thinks` says if nothing breaks."""
    async with provider() as up:
        up.script = lambda body: thinks()
        return await whole(up)


async def test_a_connection_that_breaks_costs_no_token() -> None:
    """Wherever it does, however, and also if several do: one generation, and the whole of it."""
    expected = await undisturbed()
    async with provider() as up, node(up) as model:
        up.script = lambda body: thinks()
        for cuts in [[at] for at in range(1, len(thinks()))] + [[5, 7, 9, 13]]:
            up.generations.clear()
            up.retrieved.clear()
            up.cuts, up.quietly = list(cuts), not up.quietly
            assert await drained(model) == expected, cuts
            assert (len(up.generations), len(up.retrieved)) == (1, len(cuts))


async def test_another_node_takes_an_answer_up_at_any_place() -> None:
    """From the place of each piece exactly the rest comes, with calls and usage; also from between, and meanwhile."""
    expected = await undisturbed()
    async with provider() as up, node(up) as dead, node(up) as other:

        async def rest(place: str) -> Piece:
            return await drained(other, replace(ASK, place=place))

        up.script = lambda body: [part for step in thinks() for part in (step, 0.01)]
        flow = pieces(await dead.ask("up-1", ASK))
        so_far = [await anext(flow)]
        meanwhile = asyncio.create_task(rest(so_far[0].place))
        so_far += [piece async for piece in flow]
        assert (so_far[0], len(so_far) > 8) == (Piece(place="resp_0 0"), True)
        assert await meanwhile == expected
        for count, piece in enumerate(so_far[:-1], 1):
            had = Piece.joined(so_far[:count])
            assert Piece.joined([had, await rest(piece.place)]) == expected, piece.place
        texts = dict(enumerate(["It ", "rains", ", I", " think."], 7))
        for at in range(len(thinks()) - 1):
            got = await rest(f"resp_0 {at}")
            assert (got.text, got.usage) == ("".join(text for n, text in texts.items() if n > at), expected.usage)
        up.replays = True
        assert (await rest("resp_0 7")).text == "rains, I think."
        assert len(up.generations) == 1


async def test_the_place_is_there_before_the_first_token() -> None:
    """So that what a dead node's model has thought is not thought again."""
    async with provider() as up, node(up) as dead:
        thought = asyncio.Event()
        up.script = lambda body: [*begun(), thought, *answer(["Well."])[2:]]
        flow = await dead.ask("up-1", ASK)
        first = flow.take()
        assert first == Piece(place="resp_0 0")
        await flow.close()
        async with node(up) as other:
            again = await other.ask("up-1", replace(ASK, place="resp_0 1"))
            assert again.take() == Piece(place="resp_0 1")
            thought.set()
            assert Piece.joined([piece async for piece in pieces(again)]).text == "Well."
        assert len(up.generations) == 1


async def test_a_place_that_is_lost_is_told() -> None:
    """Forgotten, failed, gone on unseen, or none at all: at once, and whoever asked may begin anew."""
    async with provider() as up:
        for place, prefix in [("resp_9 3", ""), ("nonsense", ""), ("resp_0 -1", ""), ("", "one ")]:
            with pytest.raises(PlaceLost):
                await whole(up, replace(ASK, place=place, prefix=prefix))
        assert (up.retrieved, up.created) == ([3], [])
        await whole(up)
        up.only_end = True
        with pytest.raises(PlaceLost):
            await whole(up, replace(ASK, place="resp_0 4"))
        up.only_end, up.script = False, lambda body: answer(["one "], end=FAILED)
        with pytest.raises(PlaceLost):
            await whole(up)
        with pytest.raises(PlaceLost):
            await whole(up, replace(ASK, place="resp_1 4"))
        assert len(up.generations) == 2


async def test_without_background_it_is_as_with_other_upstreams() -> None:
    """Nothing is kept, there is no place, and what breaks off in mid-answer has failed."""
    async with provider() as up:
        got = await whole(up, background=False)
        assert (got.text, got.place) == ("one two three ", "")
        assert (up.created[0]["store"], "background" in up.created[0]) == (False, False)
        with pytest.raises(PlaceLost):
            await whole(up, replace(ASK, place="resp_0 3"), background=False)
        up.cuts = [5]
        with pytest.raises(ModelUnavailable):
            await whole(up, background=False)
        assert (len(up.generations), up.retrieved) == (2, [])
        up.cuts = [3]
        assert (await whole(up, background=False)).text == "one two three "
        assert len(up.generations) == 4


async def test_what_is_not_wanted_is_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    """Once, also when the connection was let go; not what is over. If it fails, the log says so."""
    async with provider() as up, node(up) as model:
        up.script = lambda body: [*begun(), said("one "), asyncio.Event()]
        flow = await model.ask("up-1", ASK)
        await flow.close()
        assert not up.generations[0].over
        await flow.cancel()
        await flow.cancel()
        assert (up.generations[0].over, up.cancelled) == (True, ["resp_0"])
        other = await model.ask("up-1", ASK)
        await model.cancel("up-1", "resp_1 1")
        await model.cancel("up-1", "nonsense")
        assert up.generations[1].over
        await other.close()
        up.statuses = [500]
        with caplog.at_level(logging.WARNING):
            await other.cancel()
        assert "resp_1 could not be cancelled" in caplog.text
        up.script = lambda body: answer(["one "])
        done = await model.ask("up-1", ASK)
        assert [piece.text async for piece in pieces(done)]
        await done.cancel()
        assert up.cancelled == ["resp_0", "resp_1", "resp_1"]


async def test_what_fails_before_its_first_token_is_asked_again() -> None:
    """Another response is begun only where the first one failed."""
    async with provider() as up:
        answers = [[*begun(), FAILED], answer(["one "])]
        up.script = lambda body: answers.pop(0)
        assert (await whole(up)).text == "one "
        assert (len(up.generations), up.retrieved) == (2, [])


async def test_limits_on_time() -> None:
    """To the first token, and between tokens, over all connections; only what adds to the answer is one."""

    def slowly(step: Step) -> list[Step]:
        return [step, 0.15] * 4

    async with provider() as up, node(up, QUICK) as model:
        await model.cancel("up-1", "resp_9 0")  # a client's first request takes its time
        scripts: list[tuple[list[Step], list[int]]] = [
            ([*begun(), *slowly({"type": "keepalive"}), said("late")], []),
            ([*begun(), said("one "), *slowly({"type": "response.in_progress"})], []),
            ([*begun(), said("one "), 0.01, {"type": "keepalive"}, 3.0], [3]),
        ]
        for script, up.cuts in scripts:
            up.script = partial(lambda script, body: script, script)
            with pytest.raises(ModelTimeout):
                await drained(model)
        assert (len(up.generations), up.retrieved) == (3, [2])
        arguments = {"type": "response.function_call_arguments.delta", "delta": "{"}
        at_work = [*slowly(said("hm ", "reasoning_text")), *slowly(arguments)]
        up.script = lambda body: [*begun(), *at_work, *answer(["one "])[2:]]
        assert ((got := await drained(model)).reasoning, got.text) == ("hm " * 4, "one ")


async def test_retry_after_is_honoured() -> None:
    """For a new response, and for one that is read on."""
    async with provider() as up:
        up.statuses, up.headers = [429, 503], {"Retry-After": "0.1"}
        began = time.monotonic()
        assert (await whole(up)).text == "one two three "
        assert (len(up.created), time.monotonic() - began >= 0.2) == (3, True)
        up.statuses, up.cuts = [200, 503], [5]
        assert (await whole(up)).text == "one two three "
        assert (len(up.generations), len(up.retrieved)) == (2, 2)
        up.statuses, up.headers = [429], {"Retry-After": "3600"}
        with pytest.raises(ModelUnavailable) as error:
            await whole(up)
        assert error.value.after_ms == 3_600_000


@pytest.mark.parametrize(("status", "error"), [(400, ContentRefused), (401, ModelUnavailable), (404, ModelUnavailable)])
async def test_a_refused_request_is_a_failure(status: int, error: type[ChatError]) -> None:
    """A 4xx is asked once, and typed."""
    async with provider() as up:
        up.statuses = [status]
        with pytest.raises(error) as caught:
            await whole(up)
        assert (len(up.created), isinstance(caught.value, PlaceLost)) == (1, False)


async def test_a_breaker_holds_back_who_would_ask_in_vain() -> None:
    """It counts tries that failed before their first token; a lost place and a stop are none of them."""
    async with provider() as up:
        breaker = Breaker(failures=3, first_s=0.2)
        up.headers = {"Retry-After": "0"}
        async with node(up, breaker=breaker) as model:
            assert model.breakers == {f"{up.url}/": breaker}
            for _ in range(3):
                with pytest.raises(PlaceLost):
                    await model.ask("up-1", replace(ASK, place="resp_9 3"))
                flow = await model.ask("up-1", ASK)
                await flow.close()
            assert breaker.state == "closed"
            up.statuses = [500, 500, 500]
            with pytest.raises(ModelUnavailable):
                await model.ask("up-1", ASK)
            assert (breaker.state, breaker.opened) == ("open", 1)
            began = time.monotonic()
            up.script = lambda body: [*begun(), asyncio.Event()]
            probe = await model.ask("up-1", ASK)
            await probe.close()
            assert (breaker.state, breaker.opened) == ("open", 1)
            up.script = lambda body: answer(["one "])
            assert (await drained(model)).text == "one "
            assert (breaker.state, time.monotonic() - began >= 0.15) == ("closed", True)


async def test_a_provider_that_nobody_here_wrote() -> None:
    """It streams responses, and keeps none."""
    with llmock() as url:
        async with httpx.AsyncClient(trust_env=False) as client:

            async def there() -> bool:
                with contextlib.suppress(httpx.TransportError):
                    return (await client.get(f"{url}/models")).status_code == 200
                return False

            await becomes(there, 20)
        model = await ResponsesModel.connect(base_url=url, api_key="key", name="gpt-4o-mini", limits=Limits())
        got = Piece.joined([piece async for piece in model.stream("gpt-4o-mini", ASK)])
        assert "one two three" in got.text
        assert (got.usage or {})["total_tokens"] > 0
        assert got.place.startswith("resp_")
        with pytest.raises(PlaceLost):
            await model.ask("gpt-4o-mini", replace(ASK, place=got.place))
        await model.close()
