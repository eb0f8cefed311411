"""The lanes of one stream: whom an event may concern is found by its coin, not by asking all."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from realtime.followers import Form, Lane
from realtime.frames import Event
from realtime.streams import Stream
from realtime.subscriptions import Filter


class Lanes:
    """One for each filter and form that somebody has."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._lanes: dict[tuple[Filter, Form], Lane] = {}
        self._of_every_coin: set[Lane] = set()
        self._of_coin: defaultdict[str, set[Lane]] = defaultdict(set)

    def __iter__(self) -> Iterator[Lane]:
        return iter(list(self._lanes.values()))

    def lane(self, wanted: Filter, form: Form) -> Lane:
        """The lane of all who want the same in the same form."""
        lane = self._lanes.get((wanted, form))
        if lane is None:
            lane = self._lanes[wanted, form] = Lane(self._stream, wanted, form)
            for lanes in self._indexes(wanted):
                lanes.add(lane)
        return lane

    def drop_if_empty(self, lane: Lane) -> None:
        # One who was parted from leaves again when its connection ends, by when the lane may be another.
        if len(lane) or self._lanes.get((lane.wanted, lane.form)) is not lane:
            return
        del self._lanes[lane.wanted, lane.form]
        for lanes in self._indexes(lane.wanted):
            lanes.discard(lane)
        for coin in lane.wanted.coins or ():
            if not self._of_coin[coin]:
                del self._of_coin[coin]

    def divide(self, events: Sequence[Event]) -> Iterator[tuple[Lane, Sequence[Event]]]:
        """Each lane with those of `events` whose coin it wants, in order."""
        for lane in self._of_every_coin:
            yield lane, events
        if not self._of_coin:
            return
        divided: defaultdict[Lane, list[Event]] = defaultdict(list)
        for event in events:
            for lane in self._of_coin.get(event.fact.coin.lower(), ()):
                divided[lane].append(event)
        yield from divided.items()

    def _indexes(self, wanted: Filter) -> list[set[Lane]]:
        return [self._of_every_coin] if wanted.coins is None else [self._of_coin[coin] for coin in wanted.coins]
