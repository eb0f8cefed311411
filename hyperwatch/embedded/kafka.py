"""The embedded Kafka: librdkafka's mock cluster, in this process, on a TCP port of the loopback interface.

It implements Kafka's protocol for any client (groups, commits, idempotent producers, gzip; no CreateTopics). It stores
about 5 MB of each partition in memory and loses everything when it stops. It can answer requests with errors, which
the tests use to inject faults. `rdkafka_mock.h` documents the calls; the `confluent_kafka` wheel contains the library.
"""

import ctypes
import ctypes.util
import importlib.util
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import IO

from hyperwatch.embedded import CannotStartError, runtime_files
from hyperwatch.embedded.file_lock import acquire_lock

PRODUCER = 0
BROKER = 1
# A member that rejoins a group waits for its old session's timeout less one second.
SESSION_TIMEOUT_MS = 1_500

SIGNATURES: dict[str, tuple[object, list[object]]] = {
    "rd_kafka_conf_new": (ctypes.c_void_p, []),
    "rd_kafka_conf_set": (
        ctypes.c_int,
        [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t],
    ),
    "rd_kafka_new": (
        ctypes.c_void_p,
        [ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t],
    ),
    "rd_kafka_destroy": (None, [ctypes.c_void_p]),
    "rd_kafka_mock_cluster_new": (ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_int]),
    "rd_kafka_mock_cluster_destroy": (None, [ctypes.c_void_p]),
    "rd_kafka_mock_cluster_bootstraps": (ctypes.c_char_p, [ctypes.c_void_p]),
    "rd_kafka_mock_topic_create": (
        ctypes.c_int,
        [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int],
    ),
    "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [ctypes.c_void_p, ctypes.c_int32]),
    "rd_kafka_mock_push_request_errors_array": (
        None,
        [ctypes.c_void_p, ctypes.c_int16, ctypes.c_size_t, ctypes.POINTER(ctypes.c_int)],
    ),
    "rd_kafka_mock_clear_request_errors": (None, [ctypes.c_void_p, ctypes.c_int16]),
    "rd_kafka_mock_broker_set_down": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_int32]),
    "rd_kafka_mock_broker_set_up": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_int32]),
}


class EmbeddedKafka:
    """One broker with `topics`, given as (name, partitions); a context manager.

    While it runs, its address is published in `var` for other processes (runtime_files.py).
    """

    def __init__(self, var: Path, topics: Iterable[tuple[str, int]]) -> None:
        self._address_file = runtime_files.kafka_file(var)
        self._topics = list(topics)
        self._locked_file: IO[bytes] | None = None
        self._handle: int | None = None
        self._cluster: int | None = None

    def start(self) -> str:
        """Returns `host:port`; raises CannotStartError."""
        self._address_file.parent.mkdir(parents=True, exist_ok=True)
        self._locked_file = acquire_lock(self._address_file, timeout=0.2)
        if self._locked_file is None:
            raise CannotStartError("The embedded Kafka of this folder is running already: stop the other `make run`")
        try:
            address = self._start_cluster()
        except BaseException:
            self.stop()
            raise
        self._locked_file.truncate(0)
        self._locked_file.write(f"{address}\n".encode())
        self._locked_file.flush()
        return address

    def stop(self) -> None:
        if self._locked_file is not None:
            # Removed before the lock is released: another process that starts now creates a new file.
            self._address_file.unlink(missing_ok=True)
            self._locked_file.close()
            self._locked_file = None
        if self._cluster is not None:
            self._library.rd_kafka_mock_cluster_destroy(self._cluster)
            self._cluster = None
        if self._handle is not None:
            self._library.rd_kafka_destroy(self._handle)
            self._handle = None

    def fail(self, api_key: int, *errors: int) -> None:
        """Answers the next requests of type `api_key` with these error codes, once each, in this order."""
        codes = (ctypes.c_int * len(errors))(*errors)
        self._library.rd_kafka_mock_push_request_errors_array(self._cluster, api_key, len(errors), codes)

    def recover(self, api_key: int) -> None:
        """Removes the remaining errors of `fail` for requests of type `api_key`."""
        self._library.rd_kafka_mock_clear_request_errors(self._cluster, api_key)

    def disconnect(self) -> None:
        """Closes its port and its connections; the messages stay."""
        self._library.rd_kafka_mock_broker_set_down(self._cluster, BROKER)

    def reconnect(self) -> None:
        self._library.rd_kafka_mock_broker_set_up(self._cluster, BROKER)

    def __enter__(self) -> str:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start_cluster(self) -> str:
        self._library = _library()
        self._handle = _client(self._library)
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._handle, 1)
        if not self._cluster:
            raise CannotStartError("The embedded Kafka cannot be started here: set KAFKA_BOOTSTRAP_SERVERS")
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        for name, partitions in self._topics:
            self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1)
        bootstraps: bytes = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster)
        return bootstraps.decode()


def _library() -> ctypes.CDLL:
    # Located without importing the package: `embedded` imports no Kafka client (test_architecture).
    spec = importlib.util.find_spec("confluent_kafka")
    package = Path(spec.origin).parent if spec and spec.origin else Path()
    libraries = [*package.parent.glob("confluent_kafka.libs/librdkafka*"), *package.glob(".dylibs/librdkafka*")]
    name = str(libraries[0]) if libraries else ctypes.util.find_library("rdkafka")
    if name is None:
        raise CannotStartError("librdkafka was not found: install requirements.txt, or set KAFKA_BOOTSTRAP_SERVERS")
    library = ctypes.CDLL(name)
    for function, (result, arguments) in SIGNATURES.items():
        getattr(library, function).restype = result
        getattr(library, function).argtypes = arguments
    return library


def _client(library: ctypes.CDLL) -> int:
    """A client handle, which the mock cluster requires; it never connects."""
    reason = ctypes.create_string_buffer(512)
    configuration = library.rd_kafka_conf_new()
    library.rd_kafka_conf_set(configuration, b"log_level", b"3", reason, len(reason))
    handle: int | None = library.rd_kafka_new(PRODUCER, configuration, reason, len(reason))
    if not handle:
        raise CannotStartError(f"The embedded Kafka cannot be started: {reason.value.decode()}")
    return handle
