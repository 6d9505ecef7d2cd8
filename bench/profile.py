"""Where a node's microseconds are: py-spy looks at it while a scenario runs, many times a second.

What is shown is a function's share of the node's CPU time: its own, and with all that it calls. C functions are looked
at, too, which slows the node: read shares, not times.
"""

import asyncio
import re
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Final

from bench.machine import Unmeasurable
from bench.systems import Running

RATE: Final = 250
SHOWN: Final = 30
LINE: Final = re.compile(r":\d+\)$")
IDLE: Final = "_worker (concurrent/futures/thread.py"  # threads that wait; py-spy takes them for busy


def lines_of(folded: str, *, whole: bool) -> Counter[str]:
    """Count samples by function: where they were, or, as a `whole`, also in what it called."""
    found: Counter[str] = Counter()
    for line in folded.splitlines():
        stack, _, count = line.rpartition(" ")
        if IDLE in stack:
            continue
        frames = [LINE.sub(")", frame) for frame in stack.split(";")]
        for name in set(frames) if whole else frames[-1:]:
            found[name] += int(count)
    return found


async def watch(run: Running, seconds: float) -> None:
    """Look at both nodes for a while, and print what they do.

    Raises:
        Unmeasurable: there is no py-spy.
    """
    program = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    if program is None:
        raise Unmeasurable("py-spy is not there; pip install py-spy")
    folder = Path(run.redis.log).parent
    before = run.cost()
    looking = [
        await asyncio.create_subprocess_exec(
            program, "record", "--pid", str(node.pid), "--duration", str(round(seconds)), "--rate", str(RATE),
            "--native", "--format", "raw", "--output", str(folder / f"{name}.folded"),
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )
        for name, node in run.nodes.items()
    ]  # fmt: skip
    for one in looking:
        await one.wait()
    spent = run.cost().since(before)
    for name in run.nodes:
        folded = (folder / f"{name}.folded").read_text()
        own, whole = lines_of(folded, whole=False), lines_of(folded, whole=True)
        total = max(1, own.total())
        print(f"\nnode {name}: {spent.seconds[name]:.2f} s of CPU; % own, % with what it calls")
        for function, count in own.most_common(SHOWN):
            print(f"{count * 100 / total:6.1f} {whole[function] * 100 / total:6.1f}  {function}")
