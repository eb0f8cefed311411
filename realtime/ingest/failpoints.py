"""Failpoints: steps of the pipeline at which fault tests kill, stop or hang the consumer.

Environment variables select the step and its pass, for example `stored:3` for the third pass of `stored`:
`INGEST_KILL_AT` sends SIGKILL, `INGEST_PAUSE_AT` sends SIGSTOP, `INGEST_HANG_AT` blocks the thread for ever.
"""

import os
import signal
import threading
from collections import Counter

STEPS = ("read", "decoded", "copied", "stored", "published", "committed")

_signals = {
    os.environ.get("INGEST_KILL_AT", ""): signal.SIGKILL,
    os.environ.get("INGEST_PAUSE_AT", ""): signal.SIGSTOP,
}
_hangs = os.environ.get("INGEST_HANG_AT", "")
_passed: Counter[str] = Counter()


def failpoint(step: str) -> None:
    _passed[step] += 1
    if number := _signals.get(f"{step}:{_passed[step]}"):
        # `pthread_kill`: a signal to the process stops the main thread first, while this thread may continue.
        signal.pthread_kill(threading.get_ident(), number)
    if f"{step}:{_passed[step]}" == _hangs:
        threading.Event().wait()
