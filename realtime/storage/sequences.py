"""Where the streams stand: heads, floors, the epoch, the newest of each coin."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple, Self

from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.models import Max, OuterRef, QuerySet, Subquery
from django.db.models.functions import Now

from realtime.models import Epoch, NewestOfCoin, StreamHead, new_epoch
from realtime.streams import Stream, all_streams


class StreamPosition(NamedTuple):
    head: int
    floor: int


def ensure_streams(**_signal: Any) -> None:
    """Each registered stream has its row and the database its epoch, after any migrate or flush."""
    names = [stream.name for stream in all_streams()]
    StreamHead.objects.bulk_create([StreamHead(name=name) for name in names], ignore_conflicts=True)
    Epoch.objects.get_or_create(id=1)


def read_epoch() -> str:
    return Epoch.objects.values_list("value", flat=True).get(id=1)


def read_positions() -> dict[str, StreamPosition]:
    """Head and floor of every stream, by one indexed query."""
    return {
        name: StreamPosition(head, floor)
        for name, head, floor in StreamHead.objects.values_list("name", "head", "floor")
    }


def latest_times() -> dict[str, datetime | None]:
    """The time of the newest fact of each stream, None where there is none yet."""
    newest = dict(NewestOfCoin.objects.values_list("stream").annotate(Max("time")))
    return {stream.name: newest.get(stream.name) for stream in all_streams()}


# The coins as the venue writes them, for names in lower case.
KNOWN_COINS = "SELECT DISTINCT coin FROM newest_of_coin WHERE lower(coin) = ANY(%s::text[])"


def known_coins(names: Iterable[str]) -> list[str]:
    """The coins as the venue writes them, for names in any case; a name never seen stands for nothing."""
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


def latest_seqs(stream: str) -> QuerySet[Any]:
    """The seq of each coin's newest, to filter by."""
    return NewestOfCoin.objects.filter(stream=stream).values("seq")


def rotate_epoch() -> None:
    """Gives the database another life: whoever holds numbers of the old one is told of a gap."""
    Epoch.objects.filter(id=1).update(value=new_epoch(), since=Now())


_VERSIONS = "SELECT e.value, s.head, s.floor{more} FROM streams s, epoch e WHERE e.id = 1"
_VERSION_AND_COINS = f"{_VERSIONS.format(more=f', ARRAY({KNOWN_COINS} ORDER BY 1)')} AND s.name = %s"
_ALL_VERSIONS = _VERSIONS.format(more=", s.name")


class StreamVersion(NamedTuple):
    """What a stream holds: answers of the same version to the same question are the same."""

    epoch: str
    head: int
    floor: int

    def is_at_least(self, other: Self, /) -> bool:
        """Whether the stream has been at the other, in the same life of the database."""
        return self.epoch == other.epoch and self.head >= other.head and self.floor >= other.floor


def read_versions() -> dict[str, StreamVersion]:
    """Of every stream, by one query."""
    with connection.cursor() as cursor:
        cursor.execute(_ALL_VERSIONS)
        return {name: StreamVersion(*version) for *version, name in cursor.fetchall()}


BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


@contextmanager
def read_snapshot() -> Iterator[None]:
    """Everything that is read within stands as it did when it began, or an outer transaction's first."""
    with _snapshot("SELECT 1", []):
        yield


@contextmanager
def stream_snapshot(stream: str, coins: Iterable[str] = ()) -> Iterator[tuple[StreamVersion, list[str]]]:
    """The same, with what the stream holds then, and those of the coins that are known."""
    with _snapshot(_VERSION_AND_COINS, [_lower(coins), stream]) as (*version, known):
        yield StreamVersion(*version), known


@contextmanager
def _snapshot(first: str, values: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """Begins with one question, whose row it gives: Django's `atomic` would ask three more."""
    database = connections[DEFAULT_DB_ALIAS]
    is_ours = not database.in_atomic_block
    with database.cursor() as cursor:
        try:
            cursor.execute(f"{BEGIN}; {first}" if is_ours else first, values)
            yield cursor.fetchone()
        finally:
            if is_ours:
                cursor.execute("COMMIT")


def latest_ids(facts: QuerySet[Any], stream: str, time: str, coins: Iterable[str] | None) -> QuerySet[Any]:
    """The id of the newest of `facts` for each of `coins`, or of all that the stream has, to filter by.

    One step into the index (coin, time, id) a coin. The table of the newest names the coins only: it may
    already have moved beyond the head that `facts` is limited to.
    """
    of_coin = facts.filter(coin=OuterRef("coin")).order_by(f"-{time}", "-id")
    known = NewestOfCoin.objects.filter(stream=stream)
    asked = known if coins is None else known.filter(coin__in=coins)
    return asked.annotate(newest=Subquery(of_coin.values("id")[:1])).values("newest")


def latest_by_coin() -> dict[str, dict[str, dict[str, datetime]]]:
    """Each coin seen with the time of its newest fact in each stream: {"BTC": {"liquidations": {"newest": …}}}."""
    coins: dict[str, dict[str, dict[str, datetime]]] = {}
    newest = NewestOfCoin.objects.order_by("coin", "stream")
    for coin, stream, time in newest.values_list("coin", "stream", "time"):
        coins.setdefault(coin, {})[stream] = {"newest": time}
    return coins


def lock(streams: Iterable[Stream]) -> str:
    """A statement of its own, in name order.

    The snapshot of the statement that numbers must be younger than the lock, or two consumers make holes; in
    another order they would deadlock.
    """
    names = ", ".join(f"'{name}'" for name in sorted(stream.name for stream in streams))
    return f"SELECT 1 FROM streams WHERE name IN ({names}) ORDER BY name FOR UPDATE"
