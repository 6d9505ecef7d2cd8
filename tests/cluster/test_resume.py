"""A client that drops in mid-answer comes back to any node, and has every entry once."""

import asyncio
import random

from tests.reader import Record, reading
from tests.servers import Script, Served, two

CUTS = 200
READERS = 20


async def test_a_cut_client_has_every_entry_once(redis_url: str, model: Script) -> None:
    """200 cuts at random points; each time back to a random node, in a random codec, with the cursor."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    pieces = [f"{index} é 漢 😀 " for index in range(600)]
    model.answers.append([step for piece in pieces for step in (piece, 0.004)])
    async with two(redis_url, model, flush_ms=1) as nodes:
        async with reading(nodes[0].ws) as speaker:
            said = await speaker.ask(type="say", session="s", id="m", text="Go on.")
        records = await asyncio.gather(*(_read(nodes, said["run"], chance) for _ in range(READERS)))
    cuts = sum(cuts for _, cuts in records)
    assert cuts >= CUTS
    for record, _ in records:
        assert "".join(pieces) == record.texts[said["run"]]
        assert record.whole(said["run"])
        assert record.resets == 0


async def _read(nodes: tuple[Served, Served], run: str, chance: random.Random) -> tuple[Record, int]:
    """Read a run to its end over as many connections as it takes, cutting each after a few batches."""
    record, cuts = Record(), 0
    while run not in record.ends:
        async with reading(chance.choice(nodes).ws) as reader:
            await reader.send(type="hello", resume=[{"session": "s", "cursor": record.cursor}])
            for _ in range(chance.randrange(1, 12)):
                record.take(await reader.next("batch"))
                if run in record.ends:
                    return record, cuts
            reader.abort()
            cuts += 1
    return record, cuts
