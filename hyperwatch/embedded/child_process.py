"""A server process that cannot outlive us, whichever way we end."""

import os
import signal
import subprocess
from typing import IO

from hyperwatch.embedded.os_account import Account

# The server's life hangs on ours by a pipe: when its other end closes, because we say so or because we are
# gone, however that came about, a watcher asks the server to shut down fast. (SIGTERM would wait for open
# connections.)
SUPERVISOR = """
exec 3<&0 </dev/null
"$@" 3<&- & server=$!
(read -r _ <&3; kill -INT "$server") & watcher=$!
wait "$server"; status=$?
kill "$watcher" 2>/dev/null
exit "$status"
"""


def spawn(account: Account, command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603
        ["/bin/sh", "-c", SUPERVISOR, "sh", *command],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        # Ctrl-C in a terminal reaches the whole process group: those who use the database end first.
        start_new_session=True,
        **account.spawning(),
    )


def terminate(process: subprocess.Popen[bytes]) -> None:
    if process.stdin:
        process.stdin.close()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGQUIT)
        process.wait()
