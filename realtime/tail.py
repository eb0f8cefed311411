"""A stream's facts from the database, as the same frames that were published of them."""

from typing import Any

from django.db.models import F, QuerySet

from realtime.columns import reader
from realtime.frames import Event, make_event
from realtime.heads import Standing, known_coins, newest_seqs, one_moment, read_standing
from realtime.streams import Stream, channels
from realtime.subscriptions import Filter

NEWEST = 2**63 - 1


def read_events(stream: Stream, after: int, limit: int, upto: int = NEWEST) -> list[Event]:
    """The events behind `after` up to `upto`, ascending by `seq`, at most `limit`."""
    return _events(stream, _facts(stream).filter(id__gt=after, id__lte=upto).order_by("id")[:limit])


def read_newest(stream: Stream, wanted: Filter, after: int, upto: int, most: int) -> list[Event]:
    """The last `most` events behind `after` up to `upto` that are wanted, ascending by `seq`."""
    matching = _wanted(stream, _facts(stream).filter(id__gt=after, id__lte=upto), wanted)
    return _events(stream, matching.order_by("-id")[:most])[::-1]


def read_start() -> tuple[Standing, dict[str, list[Event]]]:
    """What a hub starts from: where the streams are and, of states, the newest of each coin at that moment."""
    states = [stream for stream in channels().values() if stream.is_state]
    # A newest that is younger than the head would pass for late what comes next.
    with one_moment():
        newest = {stream.name: read_states(stream) for stream in states}
        return read_standing(), newest


def read_states(stream: Stream) -> list[Event]:
    """The newest of each coin."""
    return _events(stream, _facts(stream).filter(id__in=newest_seqs(stream.name)))


def _facts(stream: Stream) -> QuerySet[Any]:
    return stream.model._default_manager.order_by()


def _events(stream: Stream, facts: QuerySet[Any]) -> list[Event]:
    reads = reader(stream.name)
    return [make_event(stream, reads.row(values)) for values in reads.select(facts)]


def _wanted(stream: Stream, facts: QuerySet[Any], wanted: Filter) -> QuerySet[Any]:
    """The rows that the filter lets pass; `Filter.wants` says the same of a fact in hand."""
    if wanted.coins is not None:
        facts = facts.filter(coin__in=known_coins(wanted.coins))
    lists = {"side": wanted.sides, "address": wanted.addresses, "kind": wanted.kinds, "whale_id": wanted.whale_ids}
    for name, values in lists.items():
        if values is not None:
            facts = facts.filter(**{f"{stream.columns[name]}__in": values})
    if wanted.min_value is not None:
        value = stream.columns["value"]
        facts = facts.annotate(_value=F(value) if isinstance(value, str) else value)
        facts = facts.filter(_value__gte=wanted.min_value)
    return facts
