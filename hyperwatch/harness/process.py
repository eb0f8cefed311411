"""A process under measurement: started, asked what it costs, and ended by its number."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from django.conf import settings

from hyperwatch.embedded import CannotStartError
from hyperwatch.harness.host import on_cores

# Where there is one: a bench that is killed takes its processes with it.
PDEATHSIG_PREFIX = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
SECONDS_TO_STOP = 10.0


class Process:
    """`command` on `cores`, from `with` to its end, with its output in `log`."""

    def __init__(self, name: str, command: Sequence[str], log: Path, env: Mapping[str, str], cores: set[int]) -> None:
        self.name = name
        self._command = [*PDEATHSIG_PREFIX, *command]
        self._log = log
        self._env = {**os.environ, **env}
        self._cores = cores

    def __enter__(self) -> Self:
        self.start()
        return self

    def start(self) -> None:
        """Also again, once it has ended; returns before it answers."""
        with self._log.open("ab") as output, on_cores(self._cores):
            self._process = subprocess.Popen(  # noqa: S603
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._env,
                cwd=settings.BASE_DIR,
                # Ctrl-C reaches us alone, and we end it in order.
                start_new_session=True,
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    @property
    def code(self) -> int | None:
        """What it ended with; None while it runs."""
        return self._process.poll()

    def signal(self, number: signal.Signals) -> None:
        if self.is_alive:
            self._process.send_signal(number)

    def stop(self) -> None:
        if not self.is_alive:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Ends it as a crash would."""
        self._process.kill()
        self._process.wait()

    def wait_for(self, url: str, seconds: float = 30.0) -> None:
        """Until `url` answers at all, whatever it says; raises CannotStartError."""
        self._wait_until(lambda: _answers(url), seconds)

    def wait_for_port(self, port: int, seconds: float = 60.0) -> None:
        """Until it listens on `port` of the loopback; raises CannotStartError."""
        self._wait_until(lambda: listens(port), seconds)

    def _wait_until(self, is_there: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not is_there():
            if not self.is_alive or time.monotonic() > deadline:
                raise CannotStartError(f"{self.name} did not start. It said:\n{self.last_words()}")
            time.sleep(0.02)

    def last_words(self) -> str:
        return self._log.read_text(errors="replace")[-2000:]

    @property
    def cpu_seconds(self) -> float:
        """User and system time of all its threads, also of those that have ended, in nanoseconds' resolution."""
        # clock_getcpuclockid(3): the complement of the process id, and CPUCLOCK_SCHED.
        return time.clock_gettime((~self.pid << 3) | 2)

    def memory(self) -> dict[str, int]:
        """Bytes: `Rss` and `Pss` (shared pages divided by those who share them) now, `VmHWM` the most there was."""
        return {**self._kilobytes("smaps_rollup", ("Rss", "Pss")), **self._kilobytes("status", ("VmHWM",))}

    @property
    def descriptors(self) -> int:
        """Open files and sockets."""
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())

    @property
    def threads(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self.pid}/task").iterdir())

    def forget_peak(self) -> None:
        """Lets `VmHWM` begin anew (proc(5), clear_refs)."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def _kilobytes(self, file: str, names: tuple[str, ...]) -> dict[str, int]:
        lines = Path(f"/proc/{self.pid}/{file}").read_text().splitlines()
        fields = (line.partition(":") for line in lines)
        return {name: int(rest.split()[0]) * 1024 for name, _, rest in fields if name in names}


def free_port() -> int:
    """A port that nobody listens on at this moment, and that no system gives away by itself.

    Whoever stops there and starts again later finds it free: connections have theirs from 32768 on.
    """
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310 (http, ours)
            return True
    except urllib.error.HTTPError:
        return True
    except (urllib.error.URLError, OSError):
        return False
