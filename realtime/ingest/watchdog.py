"""Ends a process that has come to stand, with the stacks of its threads in its log.

A call into a client library that does not return can be ended by nothing else, and while it lasts a consumer keeps its
partitions from the others. Whoever supervises the process starts another; what was not stored is read again.
"""

import faulthandler
import time

# So seldom the alarm is put off: to do it takes a thread.
LEAST = 1.0


class Watchdog:
    """Is called again and again; the process ends with code 1 where no call comes for `seconds`.

    They are the clock's: one that was frozen for longer ends when it goes on.
    """

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds
        self._put_off_at = float("-inf")

    def __call__(self) -> None:
        now = time.monotonic()
        if now - self._put_off_at >= LEAST:
            self._put_off_at = now
            faulthandler.dump_traceback_later(self._seconds, exit=True)
