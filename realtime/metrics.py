"""What the stream tells Prometheus of itself: every metric of the hub and of its clients, on one page."""

from prometheus_client import Counter, Gauge, Histogram

CONNECTIONS = Gauge("hyperwatch_connections", "WebSocket connections, by how frames leave", ["way"])
TASKS = Gauge("hyperwatch_tasks", "Tasks on the web server's event loop")
SUBSCRIPTIONS = Gauge("hyperwatch_subscriptions", "Subscriptions of WebSocket clients", ["stream"])
FRAMES = Counter("hyperwatch_frames", "Frames written to WebSocket clients")
BYTES = Counter("hyperwatch_sent_bytes", "Bytes written to WebSocket clients, with the frames' headers")
BAD_FRAMES = Counter("hyperwatch_bad_frames", "Frames from clients that were refused", ["code"])
CLOSED = Counter("hyperwatch_closed", "Connections closed by the server", ["code"])

EVENTS = Counter("hyperwatch_events", "Events that a hub handed on", ["stream"])
MENDED = Counter("hyperwatch_mended", "Events that a hub read from the database", ["stream", "way"])
CONFLATED = Counter("hyperwatch_conflated", "Times that a slow client skipped to the newest of each coin", ["stream"])
RING_BYTES = Gauge("hyperwatch_ring_bytes", "Finished frames that are kept for who falls behind", ["stream"])
FRAME_SECONDS = Histogram(
    "hyperwatch_frame_seconds",
    "From the Kafka timestamp of a batch's oldest message to its frames",
    ["stream"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)


def sent(frames: int, size: int, clients: int = 1) -> None:
    """So many frames, of `size` bytes together, to each of so many clients."""
    FRAMES.inc(frames * clients)
    BYTES.inc(size * clients)
