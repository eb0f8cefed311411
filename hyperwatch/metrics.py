"""All Prometheus metrics, with the texts that operators read at `/metrics`.

Imports prometheus_client alone, so that every module may import it. A gauge that needs another part of the
system gets a function or a collector from the module that owns that part.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry

from hyperwatch import __version__

# A `_created` series beside each counter and histogram would double the number of series.
disable_created_metrics()  # type: ignore[no-untyped-call]

LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

BUILD_INFO = Gauge("hyperwatch_build_info", "Version of Hyperwatch; the value is always 1", ["version"])
BUILD_INFO.labels(__version__).set(1)

# Web process: HTTP

HTTP_REQUEST_DURATION_SECONDS = Histogram(
    "hyperwatch_http_request_duration_seconds", "Time to answer an HTTP request", ["method", "route", "status"]
)
HTTP_REJECTED_REQUESTS_TOTAL = Counter(
    "hyperwatch_http_rejected_requests_total",
    "HTTP requests rejected before they arrived completely: malformed, too large, too slow or too many connections",
    ["status"],
)
RESPONSE_CACHE_REQUESTS_TOTAL = Counter(
    "hyperwatch_response_cache_requests_total", "Requests for cacheable responses, by result (hit or miss)", ["result"]
)
RESPONSE_CACHE_HITS = RESPONSE_CACHE_REQUESTS_TOTAL.labels("hit")
RESPONSE_CACHE_MISSES = RESPONSE_CACHE_REQUESTS_TOTAL.labels("miss")
THROTTLE_BYPASSED_REQUESTS_TOTAL = Counter(
    "hyperwatch_throttle_bypassed_requests_total", "Requests not counted by the throttles because Redis is unavailable"
)
EVENT_LOOP_TASKS = Gauge("hyperwatch_event_loop_tasks", "Tasks on the web server's event loop")

# Any process

DATABASE_CONNECTIONS = Gauge("hyperwatch_database_connections", "Open PostgreSQL connections of this process")

# Consumer: Kafka to PostgreSQL

KAFKA_CONSUMER_LAG_MESSAGES = Gauge(
    "hyperwatch_kafka_consumer_lag_messages",
    "Messages between this consumer's position and the end of an assigned partition, at the last read",
    ["topic", "partition"],
)
KAFKA_LOST_MESSAGES_TOTAL = Counter(
    "hyperwatch_kafka_lost_messages_total", "Messages that Kafka's retention removed before they were read", ["topic"]
)
KAFKA_TOPIC_RESTARTS_TOTAL = Counter(
    "hyperwatch_kafka_topic_restarts_total",
    "Partitions read from their beginning because they ended before the stored offset",
    ["topic"],
)
INGEST_BATCH_SIZE_MESSAGES = Histogram(
    "hyperwatch_ingest_batch_size_messages",
    "Kafka messages in a stored batch",
    buckets=(1, 10, 100, 500, 1000, 2000, 10000),
)
INGEST_BATCH_DURATION_SECONDS = Histogram(
    "hyperwatch_ingest_batch_duration_seconds",
    "Time to store a batch in PostgreSQL, including retries",
    buckets=LATENCY_BUCKETS,
)
INGEST_LATENCY_SECONDS = Histogram(
    "hyperwatch_ingest_latency_seconds",
    "From the Kafka timestamp of a batch's oldest message to the commit in PostgreSQL",
    buckets=LATENCY_BUCKETS,
)
INGEST_ROWS_STORED_TOTAL = Counter("hyperwatch_ingest_rows_stored_total", "Rows stored", ["stream"])
INGEST_DUPLICATES_TOTAL = Counter(
    "hyperwatch_ingest_duplicates_total", "Facts received again; they change nothing", ["stream"]
)
INGEST_CONFLICTS_TOTAL = Counter(
    "hyperwatch_ingest_conflicts_total",
    "Facts received again with other values; the stored row stays as it is",
    ["stream"],
)
INGEST_REJECTED_MESSAGES_TOTAL = Counter(
    "hyperwatch_ingest_rejected_messages_total", "Kafka messages stored as dead letters", ["reason"]
)
INGEST_DATABASE_RETRIES_TOTAL = Counter(
    "hyperwatch_ingest_database_retries_total", "Times that a batch waited because PostgreSQL was unavailable"
)
PUBLISH_EVENTS_TOTAL = Counter("hyperwatch_publish_events_total", "Events published to the channel layer", ["stream"])
PUBLISH_FAILED_EVENTS_TOTAL = Counter(
    "hyperwatch_publish_failed_events_total",
    "Events that the channel layer did not accept; web processes read them from PostgreSQL",
    ["stream"],
)

# Web process: from the channel layer to WebSocket clients

HUB_EVENTS_TOTAL = Counter("hyperwatch_hub_events_total", "Events that the hub passed on to its clients", ["stream"])
HUB_BACKFILLED_EVENTS_TOTAL = Counter(
    "hyperwatch_hub_backfilled_events_total",
    "Events that the hub read from PostgreSQL because no message brought them",
    ["stream", "reason"],
)
HUB_DISCARDED_MESSAGES_TOTAL = Counter(
    "hyperwatch_hub_discarded_messages_total",
    "Messages of the channel layer that are another installation's or cannot be decoded",
    ["reason"],
)
HUB_CONFLATIONS_TOTAL = Counter(
    "hyperwatch_hub_conflations_total", "Times that a slow client skipped to the latest event of each coin", ["stream"]
)
HUB_HISTORY_BYTES = Gauge(
    "hyperwatch_hub_history_bytes", "Size of the encoded frames held for clients that fall behind", ["stream"]
)
HUB_DELIVERY_LATENCY_SECONDS = Histogram(
    "hyperwatch_hub_delivery_latency_seconds",
    "From the Kafka timestamp of a batch's oldest message to its frames",
    ["stream"],
    buckets=LATENCY_BUCKETS,
)
WEBSOCKET_CONNECTIONS = Gauge(
    "hyperwatch_websocket_connections",
    "Open WebSocket connections, by transport (direct or asgi)",
    ["transport"],
)
WEBSOCKET_SUBSCRIPTIONS = Gauge("hyperwatch_websocket_subscriptions", "Subscriptions of WebSocket clients", ["stream"])
WEBSOCKET_CLOSED_TOTAL = Counter(
    "hyperwatch_websocket_closed_total", "WebSocket connections closed by the server, by close code", ["code"]
)
WEBSOCKET_INVALID_MESSAGES_TOTAL = Counter(
    "hyperwatch_websocket_invalid_messages_total", "Messages from WebSocket clients answered with an error", ["code"]
)
WEBSOCKET_SENT_FRAMES_TOTAL = Counter("hyperwatch_websocket_sent_frames_total", "Frames sent to WebSocket clients")
WEBSOCKET_SENT_BYTES_TOTAL = Counter(
    "hyperwatch_websocket_sent_bytes_total", "Bytes sent to WebSocket clients, including frame headers"
)


def count_sent(frames: int, size: int, clients: int = 1) -> None:
    """Counts `frames` frames with a total of `size` bytes, sent to each of `clients` clients."""
    WEBSOCKET_SENT_FRAMES_TOTAL.inc(frames * clients)
    WEBSOCKET_SENT_BYTES_TOTAL.inc(size * clients)


# Web process: read from PostgreSQL at scrape time

# A registry of its own: the consumer's /metrics must not open a database connection.
DATABASE_REGISTRY = CollectorRegistry()


class DatabaseReading(NamedTuple):
    """Unix time of each stream's newest fact (streams without facts are absent), and the outstanding dead letters."""

    newest_fact_times: Mapping[str, float]
    outstanding_dead_letters: int


class DatabaseCollector(Collector):
    """`read` returns None while PostgreSQL is unavailable: the series are absent then, never stale."""

    def __init__(self, read: Callable[[], DatabaseReading | None], now: Callable[[], float] = time.time) -> None:
        self._read = read
        self._now = now

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return (
            GaugeMetricFamily(
                "hyperwatch_stream_newest_fact_age_seconds", "Age of the stream's newest fact", labels=["stream"]
            ),
            GaugeMetricFamily(
                "hyperwatch_dead_letters_outstanding", "Dead letters not sent again yet, counted up to 100000"
            ),
        )

    def collect(self) -> Iterable[GaugeMetricFamily]:
        ages, dead_letters = self.describe()
        if state := self._read():
            for stream, newest in state.newest_fact_times.items():
                ages.add_metric([stream], self._now() - newest)
            dead_letters.add_metric([], state.outstanding_dead_letters)
        return ages, dead_letters
