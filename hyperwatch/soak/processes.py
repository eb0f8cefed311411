"""The processes under the soak: one web process and two consumers, started anew whenever they have ended."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import msgspec

from hyperwatch.harness.app_process import TRACEBACK, AppProcess, manage
from hyperwatch.soak.environment import SoakEnvironment

CONSUMERS = 2
SESSION_SECONDS = 4
HTTP_WORKER_THREADS = 4
# Small where something is kept until it is full: what still fills up cannot be told from what leaks.
LIMITS = {
    "STREAM_HISTORY_MAX_BYTES": "262144",
    "RESPONSE_CACHE_MAX_BYTES": "1048576",
    "HTTP_WORKER_THREADS": str(HTTP_WORKER_THREADS),
    "KAFKA_MAX_BATCH_MESSAGES": "200",
    "KAFKA_SESSION_TIMEOUT_MS": str(SESSION_SECONDS * 1000),
    "CONSUMER_WATCHDOG_SECONDS": "20",
}
# What the truth takes for granted, whatever the shell says; and all clients come from one address.
TAKEN_FOR_GRANTED = {
    "WHALE_LARGE_TRADE_USD": "1000000",
    "STREAM_RETENTION_DAYS": "",
    "STREAM_REPLAY_MAX": "100000",
    "KAFKA_MAX_MESSAGE_BYTES": "524288",
    "LOG_FORMAT": "json",
    "ALLOW_ANONYMOUS_READS": "true",
    "THROTTLE_READS": "1000000/minute",
    "WEBSOCKET_CONNECTIONS": "10000",
    "WEBSOCKET_MAX_CONNECTIONS_PER_IP": "0",
}


class Line(msgspec.Struct):
    """Of a log, where LOG_FORMAT is json."""

    logger: str = ""
    event: str = ""
    exception: str = ""


class Child(AppProcess):
    """A process under the soak. `lives` counts its starts, `born` is the time of the last one."""

    start_timeout_seconds = 60.0

    def __init__(self, ground: SoakEnvironment, name: str, command: str) -> None:
        self.lives = 0
        self.born = 0.0
        env = {**ground.env, **LIMITS, **TAKEN_FOR_GRANTED}
        super().__init__(name, ground.folder, env, manage(command))

    def launch(self) -> None:
        super().launch()
        self.lives += 1
        self.born = time.monotonic()

    def tracebacks(self) -> Counter[str]:
        """The errors that it logged with a traceback."""
        return Counter(error for line in self.output().splitlines() if (error := _error_of(line)))


def _error_of(line: str) -> str:
    """The last line of a trace that was logged; a bare trace is of a process that ended by it."""
    try:
        told = msgspec.json.decode(line, type=Line)
    except msgspec.DecodeError:
        return "one that ended it" if line.startswith(TRACEBACK) else ""
    # The channel layer logs each connection that it loses, Django each 503 that a middleware ran into.
    is_told = told.logger.startswith("channels_redis") or told.event.startswith("Service Unavailable")
    return "" if is_told else told.exception.strip().rpartition("\n")[2]


class Children:
    """All of them. `deaths` tells of those that nobody killed."""

    def __init__(self, ground: SoakEnvironment) -> None:
        self._say = ground.say
        self.web = Child(ground, "web", "serve")
        self.consumers = [Child(ground, f"consumer {number}", "consume") for number in range(1, CONSUMERS + 1)]
        self.deaths: list[str] = []

    @property
    def all(self) -> list[Child]:
        return [self.web, *self.consumers]

    @contextmanager
    def running(self) -> Iterator[None]:
        with ExitStack() as stack:
            for child in self.all:
                child.launch()
                stack.callback(child.stop)
            for child in self.all:
                child.wait_until_ready()
            yield

    def kill(self, child: Child) -> None:
        child.kill()
        child.launch()

    def look_after(self) -> None:
        """Starts again what has ended."""
        for child in self.all:
            if not child.is_running:
                self.deaths.append(f"{child.name} ended by itself with {child.returncode}: {child.log_tail().strip()}")
                self._say(self.deaths[-1])
                child.launch()
