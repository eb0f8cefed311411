"""A server process that ends with this process, also after SIGKILL."""

import os
import signal
import subprocess
from typing import IO

from hyperwatch.embedded.os_account import Account

# A watcher blocks on a pipe that this process holds open. The pipe closes in `terminate` or when this process ends
# for any reason. The watcher then sends SIGINT, PostgreSQL's fast shutdown; SIGTERM would wait for open connections.
SUPERVISOR_SCRIPT = """
exec 3<&0 </dev/null
"$@" 3<&- & server=$!
(read -r _ <&3; kill -INT "$server") & watcher=$!
wait "$server"; status=$?
kill "$watcher" 2>/dev/null
exit "$status"
"""


def spawn(account: Account, command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603
        ["/bin/sh", "-c", SUPERVISOR_SCRIPT, "sh", *command],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        # Ctrl-C in a terminal signals the process group; the database must end after its clients.
        start_new_session=True,
        **account.popen_options(),
    )


def terminate(process: subprocess.Popen[bytes]) -> None:
    if process.stdin:
        process.stdin.close()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGQUIT)
        process.wait()
