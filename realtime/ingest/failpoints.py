"""The places where a test may stop the consumer dead.

`INGEST_KILL_AT=stored:3` in the environment kills the process, as SIGKILL does, at the third pass of `stored`;
`INGEST_PAUSE_AT` freezes it there, as SIGSTOP does, and at `INGEST_HANG_AT` its thread never goes on.
"""

import os
import signal
import threading
from collections import Counter

STEPS = ("read", "decoded", "copied", "stored", "published", "committed")

_wanted = {
    os.environ.get("INGEST_KILL_AT", ""): signal.SIGKILL,
    os.environ.get("INGEST_PAUSE_AT", ""): signal.SIGSTOP,
}
_hangs = os.environ.get("INGEST_HANG_AT", "")
_passed: Counter[str] = Counter()


def failpoint(step: str) -> None:
    _passed[step] += 1
    if number := _wanted.get(f"{step}:{_passed[step]}"):
        # At this thread: one sent to the process stops the main thread first, and this one may have gone on by then.
        signal.pthread_kill(threading.get_ident(), number)
    if f"{step}:{_passed[step]}" == _hangs:
        threading.Event().wait()
