"""The decoders under atheris, which looks for inputs by their branches: `python -m tests.fuzz.atheris_decoders 60`.

By hand, for as many seconds as one likes: atheris is no dependency of the tests. It ends with an error at the first
input that gives anything but values or typed errors, or takes a hundred times as long as it may.
"""

import contextlib
import importlib
import sys
import time
from typing import Any

SLOW_SECONDS = 0.5


def main() -> int:
    """Look for so many seconds."""
    try:
        atheris: Any = importlib.import_module("atheris")
    except ImportError:
        print("atheris is not here: pip install atheris", file=sys.stderr)
        return 2
    with atheris.instrument_imports(include=["app"]):
        from app.core.errors import BadCursor, BadFrame
        from app.core.model import Cursor, checked_id
        from app.core.protocol import Codec
        from tests.fuzz.test_decoders import taken

    def one(data: bytes) -> None:
        began = time.perf_counter()
        taken(data[1:], Codec.MSGPACK)
        text = data[1:].decode("utf-8", "surrogateescape" if data[:1] < b"\x80" else "ignore")
        taken(text, Codec.JSON)
        for read in (Cursor.parse, lambda said: checked_id(said, "id")):
            with contextlib.suppress(BadCursor, BadFrame):
                read(text)
        assert time.perf_counter() - began < SLOW_SECONDS

    seconds = sys.argv[1] if len(sys.argv) > 1 else "60"
    atheris.Setup([sys.argv[0], f"-max_total_time={seconds}", "-max_len=70000"], one)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
