"""Members of the consumer group, as processes: started, held still while messages are laid out, let go, ended."""

import json
import os
import signal
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from django.conf import settings

from hyperwatch.harness.host import client_cores
from hyperwatch.harness.process import Process, free_port
from realtime.bench import CannotMeasureError
from realtime.bench.ground import Ground
from realtime.kafka import topics

PATIENCE = 60.0
# The mock lets a rebalance wait for it; with Apache's, held members must stay members while messages are laid out.
MOCK_SESSION_MS, SESSION_MS = 6_000, 200_000
# Which the mock cluster still has of each partition when they are read.
MOCK_KEEPS = 20_000


def is_mock(ground: Ground) -> bool:
    return ground.services.get("Kafka", "").startswith("embedded")


class Members:
    def __init__(self, processes: Sequence[Process]) -> None:
        self.processes = processes

    @property
    def cpu_seconds(self) -> float:
        return sum(process.cpu_seconds for process in self.processes)

    def hold(self) -> None:
        self._signal(signal.SIGSTOP)

    def go(self) -> None:
        self._signal(signal.SIGCONT)

    def check(self) -> None:
        for process in self.processes:
            if not process.is_alive:
                raise CannotMeasureError(f"{process.name} died. It said:\n{process.last_words()}")

    def last_words(self) -> str:
        return "\n".join(process.last_words() for process in self.processes)

    def _signal(self, number: int) -> None:
        for process in self.processes:
            if process.is_alive:
                os.kill(process.pid, number)


@contextmanager
def members(ground: Ground, number: int, words: Sequence[str] = (), cores: set[int] | None = None) -> Iterator[Members]:
    """So many, with all partitions among them: of `manage.py consume`, or of what Python is started with by `words`.

    In the words `{port}` is where its status is served, `{number}` which of them it is.
    """
    words = words or (str(settings.BASE_DIR / "manage.py"), "consume", "--port", "{port}")
    env = {**ground.env, "KAFKA_SESSION_TIMEOUT_MS": str(MOCK_SESSION_MS if is_mock(ground) else SESSION_MS)}
    ports = [free_port() for _ in range(number)]
    with ExitStack() as stack:
        processes = []
        for which, port in enumerate(ports):
            command = [sys.executable, *(word.format(port=port, number=which) for word in words)]
            log = ground.folder / f"member-{which}.log"
            process = Process(f"member {which}", command, log, env, cores or client_cores())
            processes.append(stack.enter_context(process))
        group = Members(processes)
        # One that is held hears no SIGTERM.
        stack.callback(group.go)
        _wait_until_assigned(group, ports)
        yield group


def _wait_until_assigned(group: Members, ports: Sequence[int]) -> None:
    partitions = sum(topic.partitions for topic in topics())
    deadline = time.monotonic() + PATIENCE
    while True:
        group.check()
        shares = [_assigned(port) for port in ports]
        # In the middle of a rebalance two may think that one is theirs.
        if all(shares) and len(set().union(*shares)) == sum(map(len, shares)) == partitions:
            return
        if time.monotonic() > deadline:
            said = group.last_words()
            raise CannotMeasureError(
                f"after {PATIENCE:.0f} s the partitions are not shared out: {shares}. Said:\n{said}"
            )
        time.sleep(0.1)


def _assigned(port: int) -> set[str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return set(json.load(answer)["assigned"])
    except OSError:
        return set()
