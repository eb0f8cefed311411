"""File locks (flock) that end with the process that holds them.

The kernel releases the lock when the last process that has the file open ends, also after SIGKILL. A PID file would
be stale after that.
"""

import fcntl
import os
import time
from pathlib import Path
from typing import IO


def acquire_lock(file: Path, timeout: float, mode: int = 0o666) -> IO[bytes] | None:
    """The locked file, open for appending; closing it releases the lock. None if still locked after `timeout` seconds.

    `mode` is the mode of a new file, reduced by the umask.
    """
    deadline = time.monotonic() + timeout
    locked = _try_lock(file, mode)
    while locked is None and time.monotonic() < deadline:
        time.sleep(0.02)
        locked = _try_lock(file, mode)
    return locked


def is_locked(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _try_lock(file: Path, mode: int) -> IO[bytes] | None:
    opened = os.fdopen(os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, mode), "ab")
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The previous holder may have removed the file after it was opened here: that lock excludes no other process.
        if os.path.samestat(os.fstat(opened.fileno()), file.stat()):
            return opened
    except (BlockingIOError, FileNotFoundError):
        pass
    opened.close()
    return None
