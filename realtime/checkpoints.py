"""The places where a test may stop the consumer dead.

`INGEST_KILL_AT=stored:3` in the environment kills the process, as SIGKILL does, at the third pass of `stored`.
"""

import os
import signal
from collections import Counter

STEPS = ("read", "decoded", "copied", "stored", "published", "committed")

_at, _, _pass = os.environ.get("INGEST_KILL_AT", "").partition(":")
_passed: Counter[str] = Counter()


def checkpoint(step: str) -> None:
    if step == _at:
        _passed[step] += 1
        if _passed[step] == int(_pass or 1):
            os.kill(os.getpid(), signal.SIGKILL)
