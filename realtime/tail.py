"""A stream's facts from the database, as the same frames that were published of them."""

from realtime.columns import reader
from realtime.frames import Event, make_event
from realtime.streams import Stream


def read_events(stream: Stream, after: int, limit: int) -> list[Event]:
    """The events behind `after`, ascending by `seq`, at most `limit`."""
    reads = reader(stream.name)
    newer = stream.model._default_manager.filter(id__gt=after).order_by("id")[:limit]
    return [make_event(stream, reads.row(values)) for values in reads.select(newer)]
