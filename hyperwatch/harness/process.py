"""A child process: start, signals, exit, output and resource usage."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from django.conf import settings

from hyperwatch.embedded import CannotStartError
from hyperwatch.harness.host import on_cores

# The kernel kills the child when the thread that started it ends, also after SIGKILL. util-linux has setpriv.
PDEATHSIG_PREFIX = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
POLL_INTERVAL_SECONDS = 0.02
LOG_TAIL_CHARACTERS = 4_000


class NotOwnedError(Exception):
    """A given service cannot be stopped, paused or killed; the text says how to get an own one."""


class Process:
    """Runs `command` on `cores` (default: those of this process), with its output in `folder`.

    A subclass defines `is_ready`. The context manager starts it, waits until it is ready, and stops it.
    """

    start_timeout_seconds: ClassVar[float] = 30.0
    stop_timeout_seconds: ClassVar[float] = 15.0

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        env: Mapping[str, str] | None = None,
        *,
        cores: set[int] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.command = [*PDEATHSIG_PREFIX, *command]
        self.folder = folder
        self.log = folder / f"{name}.log"
        self._env = {**os.environ, **(env or {})}
        self._cores = cores
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # State

    def is_ready(self) -> bool:
        return self.is_running

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        return self._process.poll() if self._process else None

    @property
    def pid(self) -> int:
        return self._started.pid

    @property
    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"{self.name} has no process: call `start` first")
        return self._process

    def output(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def log_tail(self) -> str:
        return self.output()[-LOG_TAIL_CHARACTERS:]

    # Start and end

    def start(self) -> None:
        """Starts it unless it is running, and returns once it is ready; raises CannotStartError."""
        if self.is_running:
            return
        self.launch()
        try:
            self.wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def launch(self) -> None:
        """Starts it and returns immediately."""
        with self.log.open("ab") as output, on_cores(self._cores):
            self._process = subprocess.Popen(  # noqa: S603
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._env,
                cwd=settings.BASE_DIR,
                # Ctrl-C in a terminal signals this process only, which then stops its children in order.
                start_new_session=True,
            )

    def wait_until_ready(self, timeout_seconds: float | None = None) -> None:
        """Raises CannotStartError if it exits, or after `start_timeout_seconds`."""
        timeout = timeout_seconds or self.start_timeout_seconds
        deadline = time.monotonic() + timeout
        while not self.is_ready():
            if not self.is_running:
                raise CannotStartError(f"{self.name} exited with {self.returncode}. Its log ends:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise CannotStartError(
                    f"{self.name} is not ready after {timeout:g} s. Its log ends:\n{self.log_tail()}"
                )
            time.sleep(POLL_INTERVAL_SECONDS)

    def wait(self, timeout_seconds: float | None = None) -> int:
        """Waits until it exits by itself; returns the exit code."""
        return self._started.wait(timeout_seconds or self.stop_timeout_seconds)

    def pause(self) -> None:
        """SIGSTOP: connections stay open without responses."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, like a crash or a power failure."""
        self.signal(signal.SIGKILL)
        if self._process:
            self._process.wait()

    def stop(self) -> None:
        """SIGTERM, then SIGKILL after `stop_timeout_seconds`; a paused process is resumed first."""
        self.resume()
        self.signal(signal.SIGTERM)
        try:
            if self._process:
                self._process.wait(self.stop_timeout_seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def restart(self) -> None:
        self.stop()
        self.start()

    def ensure_running(self) -> None:
        """Undoes `pause`, `stop` and `kill`."""
        self.resume()
        self.start()

    def signal(self, number: signal.Signals) -> None:
        if self._process and self.is_running:
            self._process.send_signal(number)

    # Resource usage

    @property
    def cpu_seconds(self) -> float:
        """User and system time of all threads, finished ones included, with nanosecond resolution."""
        # clock_getcpuclockid(3): the complement of the process id, and CPUCLOCK_SCHED.
        return time.clock_gettime((~self.pid << 3) | 2)

    def memory(self) -> dict[str, int]:
        """Bytes: `Rss` and `Pss` (shared pages divided by their users) now, `VmHWM` the peak."""
        return {**self._kilobytes("smaps_rollup", ("Rss", "Pss")), **self._kilobytes("status", ("VmHWM",))}

    @property
    def descriptors(self) -> int:
        """Open files and sockets."""
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())

    @property
    def threads(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self.pid}/task").iterdir())

    def _kilobytes(self, file: str, names: tuple[str, ...]) -> dict[str, int]:
        lines = Path(f"/proc/{self.pid}/{file}").read_text().splitlines()
        fields = (line.partition(":") for line in lines)
        return {name: int(value.split()[0]) * 1024 for name, _, value in fields if name in names}


class GivenProcess(Process):
    """A service from the environment, which is never started, stopped or signalled."""

    own_service_hint: ClassVar[str]

    def start(self) -> None:
        if not self.is_ready():
            raise CannotStartError(f"the given {self.name} does not respond: start it, or unset its address")

    def ensure_running(self) -> None:
        self.start()

    def stop(self) -> None:
        pass

    def restart(self) -> None:
        self.signal(signal.SIGTERM)

    def signal(self, number: signal.Signals) -> None:
        raise NotOwnedError(f"a given {self.name} is not interrupted; for an own one {self.own_service_hint}")


def free_port() -> int:
    """An unused loopback port below the ephemeral range, which starts at 32768.

    No outgoing connection can occupy it while a server on it is restarted.
    """
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0
