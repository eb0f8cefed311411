"""Files that are held for as long as their holder lives.

The lock is the kernel's: it ends with the last process that has the file open, however that process ended. So
nothing that a killed run left behind can mislead, as the number of a process in a file would.
"""

import fcntl
import os
import time
from pathlib import Path
from typing import IO


def acquire_lock(file: Path, wait: float, mode: int = 0o666) -> IO[bytes] | None:
    """The file, open for appending and held until closed; None where another holds it for `wait` seconds.

    `mode` are the rights of a file that is not there yet, as far as the umask lets them be.
    """
    deadline = time.monotonic() + wait
    held = _try_to_hold(file, mode)
    while held is None and time.monotonic() < deadline:
        time.sleep(0.02)
        held = _try_to_hold(file, mode)
    return held


def is_locked(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _try_to_hold(file: Path, mode: int) -> IO[bytes] | None:
    opened = os.fdopen(os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, mode), "ab")
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The former holder may have removed the file after we opened it: a lock on that one binds nobody.
        if os.path.samestat(os.fstat(opened.fileno()), file.stat()):
            return opened
    except (BlockingIOError, FileNotFoundError):
        pass
    opened.close()
    return None
