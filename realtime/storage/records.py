"""The newly stored rows of a stream, as the writer hands them to the publisher."""

from typing import NamedTuple

from realtime.streams import Fact, Row, Stream


class StoredRows(NamedTuple):
    """What is new in a stream; the rows have their `seq`, ascending, and `facts` are theirs.

    `sent_ms` is the Kafka timestamp of the oldest message in their batch, 0 where it has none.
    """

    stream: Stream
    rows: list[Row]
    facts: list[Fact]
    sent_ms: int = 0
