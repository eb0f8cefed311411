"""Members of the consumer group, as processes: started, held still while messages are laid out, let go, ended."""

import json
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from hyperwatch.bench import CannotMeasureError
from hyperwatch.bench.environment import BenchEnvironment
from hyperwatch.harness.app_process import AppProcess, manage
from realtime.kafka.admin import topics

PATIENCE = 60.0
# The mock lets a rebalance wait for it; with Apache's, held members must stay members while messages are laid out.
MOCK_SESSION_MS, SESSION_MS = 6_000, 200_000
# Which the mock cluster still has of each partition when they are read.
MOCK_KEEPS = 20_000


def is_mock(ground: BenchEnvironment) -> bool:
    return ground.services.get("Kafka", "").startswith("embedded")


class ConsumerGroup:
    def __init__(self, processes: Sequence[AppProcess]) -> None:
        self.processes = processes

    @property
    def cpu_seconds(self) -> float:
        return sum(process.cpu_seconds for process in self.processes)

    def hold(self) -> None:
        for process in self.processes:
            process.pause()

    def go(self) -> None:
        for process in self.processes:
            process.resume()

    def check(self) -> None:
        for process in self.processes:
            if not process.is_running:
                raise CannotMeasureError(f"{process.name} died. Its log ends:\n{process.log_tail()}")

    def log_tail(self) -> str:
        return "\n".join(process.log_tail() for process in self.processes)


@contextmanager
def members(
    ground: BenchEnvironment, number: int, arguments: Sequence[str] = (), cores: set[int] | None = None
) -> Iterator[ConsumerGroup]:
    """So many members with all partitions: `manage.py consume`, or Python with `arguments`.

    `{number}` in the arguments is the number of the member.
    """
    arguments = arguments or manage("consume")
    env = {**ground.env, "KAFKA_SESSION_TIMEOUT_MS": str(MOCK_SESSION_MS if is_mock(ground) else SESSION_MS)}
    with ExitStack() as stack:
        processes = []
        for member in range(number):
            own = [argument.format(number=member) for argument in arguments]
            process = AppProcess(f"member {member}", ground.folder, env, own, cores=cores)
            process.launch()
            stack.callback(process.stop)
            processes.append(process)
        group = ConsumerGroup(processes)
        _wait_until_assigned(group)
        yield group


def _wait_until_assigned(group: ConsumerGroup) -> None:
    partitions = sum(topic.partitions for topic in topics())
    deadline = time.monotonic() + PATIENCE
    while True:
        group.check()
        shares = [_assigned(process) for process in group.processes]
        # In the middle of a rebalance two may think that one is theirs.
        if all(shares) and len(set().union(*shares)) == sum(map(len, shares)) == partitions:
            return
        if time.monotonic() > deadline:
            raise CannotMeasureError(
                f"after {PATIENCE:.0f} s the partitions are not assigned: {shares}. Logs:\n{group.log_tail()}"
            )
        time.sleep(0.1)


def _assigned(process: AppProcess) -> set[str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{process.port}/health", timeout=2) as answer:
            return set(json.load(answer)["assigned"])
    except OSError:
        return set()
