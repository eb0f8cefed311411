"""A stream that goes on, at a steady pace and by the whole way, while something else is measured."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from hyperwatch.bench.environment import BenchEnvironment
from hyperwatch.bench.load.paced_producer import PacedProducer
from hyperwatch.bench.processes.consumer_group import members

RATE = 100
# At a time, so that its end is not waited for.
SOME = 20


@contextmanager
def trickle(ground: BenchEnvironment) -> Iterator[PacedProducer]:
    """Liquidations through Kafka and `manage.py consume`."""
    load, stop = PacedProducer(ground.seed), threading.Event()

    def flow() -> None:
        while not stop.is_set():
            load.offer(SOME, RATE)

    thread = threading.Thread(target=flow, name="trickle")
    with members(ground, 1):
        thread.start()
        try:
            yield load
        finally:
            stop.set()
            thread.join()
