"""Background threads beside the web server; if one fails, all stop."""

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)

Worker = Callable[[threading.Event], None]


class WorkerThreads:
    """Runs each worker in a thread until `stop` is set; the first one that ends earlier calls `on_failure`, once."""

    def __init__(self, on_failure: Callable[[], None]) -> None:
        self.stop = threading.Event()
        self.failed_worker: str | None = None
        self._on_failure = on_failure
        self._threads: list[threading.Thread] = []

    def start(self, name: str, worker: Worker) -> None:
        # A daemon thread: a worker that is stuck must not prevent the process from exiting.
        thread = threading.Thread(target=self._run, args=(name, worker), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop_all(self, timeout: float = 5.0) -> None:
        """Sets `stop` and waits `timeout` seconds for each thread."""
        self.stop.set()
        for thread in self._threads:
            thread.join(timeout)
            if thread.is_alive():
                log.warning("%s did not stop within the timeout; the process exits without it", thread.name)

    def _run(self, name: str, worker: Worker) -> None:
        try:
            worker(self.stop)
        except Exception:
            log.exception("%s failed", name)
        if not self.stop.is_set():
            self.failed_worker = self.failed_worker or name
            self.stop.set()
            self._on_failure()
