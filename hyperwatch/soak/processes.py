"""Processes under test: one web process and two consumers, restarted after each exit."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import msgspec

from hyperwatch.harness.app_process import TRACEBACK, AppProcess, manage
from hyperwatch.soak.environment import SoakEnvironment

CONSUMERS = 2
SESSION_TIMEOUT_SECONDS = 4
HTTP_WORKER_THREADS = 4
# Small caches and buffers: growth while they fill is indistinguishable from a leak.
SIZE_SETTINGS = {
    "STREAM_HISTORY_MAX_BYTES": "262144",
    "RESPONSE_CACHE_MAX_BYTES": "1048576",
    "HTTP_WORKER_THREADS": str(HTTP_WORKER_THREADS),
    "KAFKA_MAX_BATCH_MESSAGES": "200",
    "KAFKA_SESSION_TIMEOUT_MS": str(SESSION_TIMEOUT_SECONDS * 1000),
    "CONSUMER_WATCHDOG_SECONDS": "20",
}
# Values that the oracle assumes, independent of the environment; limits per IP are off because all clients share one.
FIXED_SETTINGS = {
    "WHALE_LARGE_TRADE_USD": "1000000",
    "STREAM_RETENTION_DAYS": "",
    "STREAM_REPLAY_MAX": "100000",
    "KAFKA_MAX_MESSAGE_BYTES": "524288",
    "LOG_FORMAT": "json",
    "ALLOW_ANONYMOUS_READS": "true",
    "THROTTLE_READS": "1000000/minute",
    "WEBSOCKET_MAX_CONNECTIONS": "10000",
    "WEBSOCKET_MAX_CONNECTIONS_PER_IP": "0",
}


class JsonLogLine(msgspec.Struct):
    """One line of a log with LOG_FORMAT=json."""

    logger: str = ""
    event: str = ""
    exception: str = ""


class SoakProcess(AppProcess):
    """A process under test; `started_at` is the time of its last start."""

    start_timeout_seconds = 60.0

    def __init__(self, environment: SoakEnvironment, name: str, command: str) -> None:
        self.start_count = 0
        self.started_at = 0.0
        env = {**environment.env, **SIZE_SETTINGS, **FIXED_SETTINGS}
        super().__init__(name, environment.folder, env, manage(command))

    def launch(self) -> None:
        super().launch()
        self.start_count += 1
        self.started_at = time.monotonic()

    def tracebacks(self) -> Counter[str]:
        """Unexpected errors logged with a traceback, by their last line."""
        return Counter(error for line in self.output().splitlines() if (error := _error_of(line)))


def _error_of(line: str) -> str:
    """The last line of a logged traceback. A traceback outside of JSON is from an error that ended the process."""
    try:
        log_line = msgspec.json.decode(line, type=JsonLogLine)
    except msgspec.DecodeError:
        return "uncaught exception" if line.startswith(TRACEBACK) else ""
    # Expected under faults: channels_redis logs each lost connection, Django each 503 raised in a middleware.
    is_expected = log_line.logger.startswith("channels_redis") or log_line.event.startswith("Service Unavailable")
    return "" if is_expected else log_line.exception.strip().rpartition("\n")[2]


class SoakProcesses:
    """All processes under test. `unexpected_exits` describes exits other than those by an injected fault."""

    def __init__(self, environment: SoakEnvironment) -> None:
        self._log = environment.log
        self.web = SoakProcess(environment, "web", "serve")
        self.consumers = [
            SoakProcess(environment, f"consumer {number}", "consume") for number in range(1, CONSUMERS + 1)
        ]
        self.unexpected_exits: list[str] = []

    @property
    def all(self) -> list[SoakProcess]:
        return [self.web, *self.consumers]

    @contextmanager
    def running(self) -> Iterator[None]:
        with ExitStack() as stack:
            for process in self.all:
                process.launch()
                stack.callback(process.stop)
            for process in self.all:
                process.wait_until_ready()
            yield

    def kill(self, process: SoakProcess) -> None:
        process.kill()
        process.launch()

    def restart_exited(self) -> None:
        for process in self.all:
            if not process.is_running:
                log_tail = process.log_tail().strip()
                self.unexpected_exits.append(f"{process.name} exited with {process.returncode}: {log_tail}")
                self._log(self.unexpected_exits[-1])
                process.launch()
