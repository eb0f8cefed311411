"""Watchdog: ends a stuck process with exit code 1 and the stacks of its threads in the log.

Nothing else ends a call into a client library that does not return, and meanwhile the consumer keeps its partitions.
The supervisor restarts the process, and messages that were not stored are read again.
"""

import faulthandler
import time

# `dump_traceback_later` starts a thread at each call, so the timer is reset at most this often.
MIN_REARM_INTERVAL_SECONDS = 1.0


class Watchdog:
    """Resets a timer at each call; the process exits with code 1 after `timeout_seconds` without a call.

    Wall time counts: a process that was frozen (SIGSTOP) for longer exits when it continues.
    """

    def __init__(self, timeout_seconds: int) -> None:
        self._timeout_seconds = timeout_seconds
        self._armed_at = float("-inf")

    def __call__(self) -> None:
        now = time.monotonic()
        if now - self._armed_at >= MIN_REARM_INTERVAL_SECONDS:
            self._armed_at = now
            faulthandler.dump_traceback_later(self._timeout_seconds, exit=True)
