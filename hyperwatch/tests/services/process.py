"""A service as the tests hold it: started, frozen, killed and ended, with its output in a file."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from hyperwatch.tests.services.waiting import wait_until

# Where there is one: a run that is killed takes its services with it.
DIE_WITH_US = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
TRACEBACK = "Traceback (most recent call last)"


class Process:
    """`command` with its output in `folder`; a subclass says when it is `ready`."""

    name = "process"
    seconds_to_start = 30.0
    seconds_to_stop = 15.0

    def __init__(self, command: Sequence[str], folder: Path, env: Mapping[str, str] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.command = [*DIE_WITH_US, *command]
        self.folder = folder
        self.log = folder / f"{self.name}.log"
        self._env = {**os.environ, **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def ready(self) -> bool:
        return self.running

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        return self._process.poll() if self._process else None

    @property
    def pid(self) -> int:
        assert self._process, f"{self.name} was never started"
        return self._process.pid

    def start(self) -> None:
        """Starts the service where it does not run and returns once it answers."""
        if self.running:
            return
        self.launch()
        try:
            wait_until(self._ready_or_dead, f"{self.name} to answer", self.seconds_to_start)
        except BaseException as error:
            self.kill()
            error.add_note(f"{self.name} said:\n{self.output()[-4000:]}")
            raise

    def launch(self) -> None:
        """Starts it and waits for nothing: for a process that is to die early."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._env,
                # Keeps the terminal's Ctrl-C to the tests, which then end it in order.
                start_new_session=True,
            )

    def wait(self, seconds: float | None = None) -> int:
        """The exit code, once it has ended by itself."""
        assert self._process, f"{self.name} was never started"
        return self._process.wait(seconds or self.seconds_to_stop)

    def pause(self) -> None:
        """Freezes it: connections stay open and nothing is answered."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """Ends it as a crash or a power cut would."""
        self.signal(signal.SIGKILL)
        if self._process:
            self._process.wait()

    def stop(self) -> None:
        """Ends it in order; what does not go in time is killed."""
        self.resume()
        self.signal(signal.SIGTERM)
        try:
            if self._process:
                self._process.wait(self.seconds_to_stop)
        except subprocess.TimeoutExpired:
            self.kill()

    def restart(self) -> None:
        self.stop()
        self.start()

    def heal(self) -> None:
        """Undoes whatever a test did to it."""
        self.resume()
        self.start()

    def signal(self, number: signal.Signals) -> None:
        if self._process and self.running:
            self._process.send_signal(number)

    def output(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def _ready_or_dead(self) -> bool:
        if not self.running:
            raise AssertionError(f"{self.name} ended with {self.returncode}")
        return self.ready()
