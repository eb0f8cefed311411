"""Members of the consumer group as processes: start, pause while messages are produced, resume, stop."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from hyperwatch.bench import CannotMeasureError
from hyperwatch.bench.environment import BenchEnvironment
from hyperwatch.harness.app_process import AppProcess, manage
from hyperwatch.harness.local_http import open_local
from realtime.kafka.admin import topics

ASSIGNMENT_TIMEOUT_SECONDS = 60.0
# librdkafka's mock delays a rebalance by it. With Apache Kafka, paused members must not be evicted meanwhile.
MOCK_SESSION_TIMEOUT_MS, SESSION_TIMEOUT_MS = 6_000, 200_000
# The mock cluster retains 5 MB a partition; more messages are removed before they are read.
MOCK_MAX_MESSAGES = 20_000


def is_mock(environment: BenchEnvironment) -> bool:
    return environment.services.get("Kafka", "").startswith("embedded")


class ConsumerGroup:
    def __init__(self, processes: Sequence[AppProcess]) -> None:
        self.processes = processes

    @property
    def cpu_seconds(self) -> float:
        return sum(process.cpu_seconds for process in self.processes)

    def pause(self) -> None:
        for process in self.processes:
            process.pause()

    def resume(self) -> None:
        for process in self.processes:
            process.resume()

    def check(self) -> None:
        for process in self.processes:
            if not process.is_running:
                raise CannotMeasureError(f"{process.name} exited. Its log ends:\n{process.log_tail()}")

    def log_tail(self) -> str:
        return "\n".join(process.log_tail() for process in self.processes)


@contextmanager
def run_members(
    environment: BenchEnvironment, number: int, arguments: Sequence[str] = (), cores: set[int] | None = None
) -> Iterator[ConsumerGroup]:
    """Starts members and waits until all partitions are assigned: `manage.py consume`, or Python with `arguments`.

    `{number}` in the arguments stands for the number of the member.
    """
    arguments = arguments or manage("consume")
    env = {
        **environment.env,
        "KAFKA_SESSION_TIMEOUT_MS": str(MOCK_SESSION_TIMEOUT_MS if is_mock(environment) else SESSION_TIMEOUT_MS),
    }
    with ExitStack() as stack:
        processes = []
        for member in range(number):
            member_arguments = [argument.format(number=member) for argument in arguments]
            process = AppProcess(f"member {member}", environment.folder, env, member_arguments, cores=cores)
            process.launch()
            stack.callback(process.stop)
            processes.append(process)
        group = ConsumerGroup(processes)
        _wait_until_assigned(group)
        yield group


def _wait_until_assigned(group: ConsumerGroup) -> None:
    partitions = sum(topic.partitions for topic in topics())
    deadline = time.monotonic() + ASSIGNMENT_TIMEOUT_SECONDS
    while True:
        group.check()
        shares = [_assigned(process) for process in group.processes]
        # During a rebalance two members can report the same partition.
        if all(shares) and len(set().union(*shares)) == sum(map(len, shares)) == partitions:
            return
        if time.monotonic() > deadline:
            raise CannotMeasureError(
                f"partitions not assigned after {ASSIGNMENT_TIMEOUT_SECONDS:.0f} s: {shares}. Logs:\n{group.log_tail()}"
            )
        time.sleep(0.1)


def _assigned(process: AppProcess) -> set[str]:
    try:
        with open_local(f"http://127.0.0.1:{process.port}/health", timeout=2) as response:
            return set(json.load(response)["assigned"])
    except OSError:
        return set()
