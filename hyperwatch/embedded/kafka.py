"""The embedded Kafka: librdkafka's own mock cluster, in this process, on a real TCP port of the loopback.

It speaks Kafka's protocol to any client (groups, commits, idempotent producers, gzip; no CreateTopics), keeps
about 5 MB of each partition, and forgets everything when it stops. Errors can be put into its answers: the
tests' fault injector. `rdkafka_mock.h` describes the calls; the library is the `confluent_kafka` wheel's own.
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
# A member that comes back to a group waits for its session's end less one second.
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
    """One broker with `topics`, given as (name, partitions), from `start` to `stop`; a context manager.

    While it runs, `var` says its address to every process that looks (addresses.py).
    """

    def __init__(self, var: Path, topics: Iterable[tuple[str, int]]) -> None:
        self._file = runtime_files.kafka_file(var)
        self._topics = list(topics)
        self._address: IO[bytes] | None = None
        self._handle: int | None = None
        self._cluster: int | None = None

    def start(self) -> str:
        """Returns `host:port`; raises CannotStartError."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._address = acquire_lock(self._file, wait=0.2)
        if self._address is None:
            raise CannotStartError("The embedded Kafka of this folder runs already: is there another `make run`?")
        try:
            address = self._start_cluster()
        except BaseException:
            self.stop()
            raise
        self._address.truncate(0)
        self._address.write(f"{address}\n".encode())
        self._address.flush()
        return address

    def stop(self) -> None:
        if self._address is not None:
            # Removed before it is let go: another that starts at this moment makes a file of its own.
            self._file.unlink(missing_ok=True)
            self._address.close()
            self._address = None
        if self._cluster is not None:
            self._library.rd_kafka_mock_cluster_destroy(self._cluster)
            self._cluster = None
        if self._handle is not None:
            self._library.rd_kafka_destroy(self._handle)
            self._handle = None

    def fail(self, api_key: int, *errors: int) -> None:
        """The next requests of that kind are answered with these error codes, each once, in this order."""
        codes = (ctypes.c_int * len(errors))(*errors)
        self._library.rd_kafka_mock_push_request_errors_array(self._cluster, api_key, len(errors), codes)

    def recover(self, api_key: int) -> None:
        """Takes back what `fail` has left for requests of that kind."""
        self._library.rd_kafka_mock_clear_request_errors(self._cluster, api_key)

    def disconnect(self) -> None:
        """Closes its port and its connections; what it holds stays."""
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
    # Found by the package's place and not by importing it: this room knows no client.
    spec = importlib.util.find_spec("confluent_kafka")
    package = Path(spec.origin).parent if spec and spec.origin else Path()
    shipped = [*package.parent.glob("confluent_kafka.libs/librdkafka*"), *package.glob(".dylibs/librdkafka*")]
    name = str(shipped[0]) if shipped else ctypes.util.find_library("rdkafka")
    if name is None:
        raise CannotStartError("librdkafka is not found: install requirements.txt, or set KAFKA_BOOTSTRAP_SERVERS")
    library = ctypes.CDLL(name)
    for function, (result, arguments) in SIGNATURES.items():
        getattr(library, function).restype = result
        getattr(library, function).argtypes = arguments
    return library


def _client(library: ctypes.CDLL) -> int:
    """A client handle, which the mock cluster lives in; it never connects to anything."""
    reason = ctypes.create_string_buffer(512)
    configuration = library.rd_kafka_conf_new()
    library.rd_kafka_conf_set(configuration, b"log_level", b"3", reason, len(reason))
    handle: int | None = library.rd_kafka_new(PRODUCER, configuration, reason, len(reason))
    if not handle:
        raise CannotStartError(f"The embedded Kafka cannot be started: {reason.value.decode()}")
    return handle
