"""Ingests liquidations at a constant rate during another measurement."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from hyperwatch.bench.environment import BenchEnvironment
from hyperwatch.bench.load.paced_producer import PacedProducer
from hyperwatch.bench.processes.consumer_group import run_members

RATE_PER_SECOND = 100
# Small, so the thread stops within 0.2 seconds.
BATCH_MESSAGES = 20


@contextmanager
def background_ingest(environment: BenchEnvironment) -> Iterator[PacedProducer]:
    """Produces to Kafka, with a running `manage.py consume`."""
    load, stop = PacedProducer(environment.seed), threading.Event()

    def produce() -> None:
        while not stop.is_set():
            load.produce(BATCH_MESSAGES, RATE_PER_SECOND)

    thread = threading.Thread(target=produce, name="background-ingest")
    with run_members(environment, 1):
        thread.start()
        try:
            yield load
        finally:
            stop.set()
            thread.join()
