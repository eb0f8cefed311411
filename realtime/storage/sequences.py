"""Sequence state of the streams: head, floor, epoch, latest row of each coin, read snapshots and locks."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple, Self

from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.models import Max, OuterRef, QuerySet, Subquery
from django.db.models.functions import Now

from hyperwatch.formats import output_time
from realtime.models import Epoch, NewestOfCoin, StreamHead, new_epoch
from realtime.streams import Stream, all_streams

log = logging.getLogger(__name__)


class StreamPosition(NamedTuple):
    head: int
    floor: int


def ensure_streams(**_signal: Any) -> None:
    """Creates the missing rows of `streams` and `epoch`; receiver of `post_migrate`, also after a flush."""
    names = [stream.name for stream in all_streams()]
    StreamHead.objects.bulk_create([StreamHead(name=name) for name in names], ignore_conflicts=True)
    Epoch.objects.get_or_create(id=1)


def read_epoch() -> str:
    return Epoch.objects.values_list("value", flat=True).get(id=1)


def read_positions() -> dict[str, StreamPosition]:
    """Head and floor of every stream, in one indexed query."""
    return {
        name: StreamPosition(head, floor)
        for name, head, floor in StreamHead.objects.values_list("name", "head", "floor")
    }


def latest_times() -> dict[str, datetime | None]:
    """The latest fact time of each stream; None for an empty stream."""
    newest = dict(NewestOfCoin.objects.values_list("stream").annotate(Max("time")))
    return {stream.name: newest.get(stream.name) for stream in all_streams()}


# Maps lower-case names to the venue's spelling.
KNOWN_COINS = "SELECT DISTINCT coin FROM newest_of_coin WHERE lower(coin) = ANY(%s::text[])"


def known_coins(names: Iterable[str]) -> list[str]:
    """The venue's spelling of coin names in any case; unknown names are omitted."""
    with connection.cursor() as cursor:
        cursor.execute(f"{KNOWN_COINS} ORDER BY 1", [_lower(names)])
        return [coin for (coin,) in cursor.fetchall()]


def _lower(names: Iterable[str]) -> list[str]:
    return list({name.lower() for name in names})


class StreamState(NamedTuple):
    epoch: str
    positions: dict[str, StreamPosition]


def read_stream_states() -> StreamState:
    return StreamState(read_epoch(), read_positions())


def read_later_states(epoch: str, seen: Mapping[str, StreamPosition]) -> StreamState:
    """The states of the streams; `seen` are positions that were seen before, in `epoch`.

    A smaller head or floor shows that the database went back in time: it gets a new epoch.
    """
    state = read_stream_states()
    behind = [name for name, position in seen.items() if _is_behind(state.positions[name], position)]
    if state.epoch != epoch or not behind:
        return state
    _start_new_epoch(epoch, behind)
    return read_stream_states()


def _is_behind(position: StreamPosition, seen: StreamPosition) -> bool:
    return position.head < seen.head or position.floor < seen.floor


def _start_new_epoch(epoch: str, streams: Iterable[str]) -> None:
    log.error("the database went back in time: it lacks events of %s; new epoch", ", ".join(streams))
    rotate_epoch(epoch)


def latest_seqs(stream: str) -> QuerySet[Any]:
    """A subquery of the `seq` of each coin's latest row."""
    return NewestOfCoin.objects.filter(stream=stream).values("seq")


def rotate_epoch(expected: str) -> None:
    """Replaces the epoch `expected`, which invalidates the `seq` numbers of clients: they receive a gap.

    Does nothing if another process has replaced it: several notice a database that went back in time.
    """
    Epoch.objects.filter(id=1, value=expected).update(value=new_epoch(), since=Now())


_VERSIONS = "SELECT e.value, s.head, s.floor{more} FROM streams s, epoch e WHERE e.id = 1"
_VERSION_AND_COINS = f"{_VERSIONS.format(more=f', ARRAY({KNOWN_COINS} ORDER BY 1)')} AND s.name = %s"
_ALL_VERSIONS = _VERSIONS.format(more=", s.name")


class StreamVersion(NamedTuple):
    """The content version of a stream: equal versions give equal results for the same query."""

    epoch: str
    head: int
    floor: int

    def is_behind(self, other: Self | None) -> bool:
        """True if the other version is of the same epoch and this one cannot follow it."""
        return (
            other is not None
            and self.epoch == other.epoch
            and _is_behind(StreamPosition(self.head, self.floor), StreamPosition(other.head, other.floor))
        )

    def is_at_least(self, other: Self, /) -> bool:
        """True if this version includes `other`: same epoch, no smaller head and floor."""
        return self.epoch == other.epoch and self.head >= other.head and self.floor >= other.floor


def read_versions() -> dict[str, StreamVersion]:
    """The version of every stream, in one query."""
    with connection.cursor() as cursor:
        cursor.execute(_ALL_VERSIONS)
        return {name: StreamVersion(*version) for *version, name in cursor.fetchall()}


class VersionReader:
    """Reads the versions of the streams in one thread; a database that went back in time gets a new epoch."""

    def __init__(self) -> None:
        self._previous: dict[str, StreamVersion] = {}

    def __call__(self) -> dict[str, StreamVersion]:
        versions = read_versions()
        behind = [name for name, version in versions.items() if version.is_behind(self._previous.get(name))]
        if behind:
            _start_new_epoch(versions[behind[0]].epoch, behind)
            versions = read_versions()
        self._previous = versions
        return versions


BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


@contextmanager
def read_snapshot() -> Iterator[None]:
    """A REPEATABLE READ, read-only transaction: all reads within see one snapshot.

    Within an outer transaction, the snapshot is that of its first statement.
    """
    with _snapshot("SELECT 1", []):
        yield


@contextmanager
def stream_snapshot(stream: str, coins: Iterable[str] = ()) -> Iterator[tuple[StreamVersion, list[str]]]:
    """A read snapshot with the stream's version in it, and the venue's spelling of the known `coins`."""
    with _snapshot(_VERSION_AND_COINS, [_lower(coins), stream]) as (*version, known):
        yield StreamVersion(*version), known


@contextmanager
def _snapshot(first: str, values: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """Sends BEGIN with the `first` query and yields its row; Django's `atomic` needs three more round trips."""
    database = connections[DEFAULT_DB_ALIAS]
    is_outermost = not database.in_atomic_block
    with database.cursor() as cursor:
        try:
            cursor.execute(f"{BEGIN}; {first}" if is_outermost else first, values)
            yield cursor.fetchone()
        finally:
            if is_outermost:
                cursor.execute("COMMIT")


def latest_ids(facts: QuerySet[Any], stream: str, time: str, coins: Iterable[str] | None) -> QuerySet[Any]:
    """A subquery of the id of the latest of `facts` for each of `coins`; None selects all coins of the stream.

    Costs one descent of the index (coin, time, id) a coin. `newest_of_coin` supplies only the coins: its `seq` may
    already be beyond the head that limits `facts`.
    """
    of_coin = facts.filter(coin=OuterRef("coin")).order_by(f"-{time}", "-id")
    known = NewestOfCoin.objects.filter(stream=stream)
    selected = known if coins is None else known.filter(coin__in=coins)
    return selected.annotate(newest=Subquery(of_coin.values("id")[:1])).values("newest")


def latest_by_coin() -> dict[str, dict[str, dict[str, datetime]]]:
    """The latest fact time of each coin in each stream: {"BTC": {"liquidations": {"newest": …}}}."""
    coins: dict[str, dict[str, dict[str, datetime]]] = {}
    newest = NewestOfCoin.objects.order_by("coin", "stream")
    for coin, stream, time in newest.values_list("coin", "stream", "time"):
        coins.setdefault(coin, {})[stream] = {"newest": output_time(time)}
    return coins


def lock(streams: Iterable[Stream]) -> str:
    """SQL that locks the rows of `streams` in name order (SELECT … FOR UPDATE); another order could deadlock.

    A statement of its own: the statement that assigns `seq` must take its snapshot after the lock. Otherwise two
    concurrent consumers leave holes in `seq`.
    """
    names = ", ".join(f"'{name}'" for name in sorted(stream.name for stream in streams))
    return f"SELECT 1 FROM streams WHERE name IN ({names}) ORDER BY name FOR UPDATE"
