"""A process that makes one run: ``python -m alnico.experiment.worker``, with a job as one line of JSON on its stdin.

It answers with the outcome as JSON on stdout. When its stdin ends, whoever started it is gone: it saves and ends too.
"""

import json
import os
import signal
import sys
import threading
from contextlib import suppress
from dataclasses import asdict
from types import FrameType

from alnico.experiment.executor import Job, Outcome, perform
from alnico.training.trainer import Interrupted


def main() -> None:
    """Make the run of the job on stdin and tell how it ended."""
    job = Job(**json.loads(sys.stdin.readline()))
    # While it trains, the loop listens for the signal itself; before and after there is nothing to be saved.
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        outcome = perform(job)
    except Interrupted as stop:
        outcome = Outcome(job.name, "stopped", str(stop))
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with suppress(BrokenPipeError):  # nobody is left to be told
        os.write(1, json.dumps(asdict(outcome)).encode() + b"\n")


def _leave(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise Interrupted("stopped outside its training; what it had saved stays")


def _end_with_parent() -> None:
    # Not through sys.stdin: a thread that waits in there would hinder the process from ending.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
