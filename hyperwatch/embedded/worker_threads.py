"""Threads that live and die with the server of their process."""

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)

Worker = Callable[[threading.Event], None]


class WorkerThreads:
    """Runs each part in a thread until `stop` is set; one that ends before that calls `on_failure`, once."""

    def __init__(self, on_failure: Callable[[], None]) -> None:
        self.stop = threading.Event()
        self.failed: str | None = None
        self._on_failure = on_failure
        self._threads: list[threading.Thread] = []

    def start(self, name: str, part: Worker) -> None:
        # A daemon: a part that hangs must not keep a process that was told to end.
        thread = threading.Thread(target=self._run, args=(name, part), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def end(self, timeout: float = 5.0) -> None:
        """Asks all of them to stop and waits `timeout` seconds for each."""
        self.stop.set()
        for thread in self._threads:
            thread.join(timeout)
            if thread.is_alive():
                log.warning("%s did not stop in time and is left behind", thread.name)

    def _run(self, name: str, part: Worker) -> None:
        try:
            part(self.stop)
        except Exception:
            log.exception("%s failed", name)
        if not self.stop.is_set():
            self.failed = self.failed or name
            self.stop.set()
            self._on_failure()
