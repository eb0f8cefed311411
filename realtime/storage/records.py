"""The newly stored rows of a stream, as the writer hands them to the publisher."""

from typing import NamedTuple

from realtime.streams import Fact, Row, Stream


class StoredRows(NamedTuple):
    """New rows of one stream in ascending `seq` order, and their facts at the same positions.

    `sent_ms` is the Kafka timestamp of the oldest message in the batch, 0 if no timestamp is available. `epoch` is the
    one in which the rows were numbered.
    """

    stream: Stream
    rows: list[Row]
    facts: list[Fact]
    sent_ms: int = 0
    epoch: str = ""
