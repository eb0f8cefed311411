"""Registry of the streams: each domain's `stream.py` creates a Stream and registers it.

This registry is the only interface of `realtime` to the domains.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import msgspec

from hyperwatch.formats import UtcTime, output_time
from realtime.structs.output_types import Number, Time

if TYPE_CHECKING:
    from django.db.models.expressions import Combinable

    from realtime.models import StoredFact


class TopicName(StrEnum):
    """The topics of the contract; the settings map them to the names on the broker."""

    TRANSACTIONS = "hyperliquid.transactions"
    COMPUTED_DATA = "hyperliquid.computed_data"


class Param(StrEnum):
    """The filter parameters of a subscription (websocket.md)."""

    COINS = "coins"
    SIDE = "side"
    MIN_VALUE_USD = "min_value_usd"
    USER_ADDRESSES = "user_addresses"
    TX_TYPES = "tx_types"
    WHALE_IDS = "whale_ids"
    ACTIVITY_TYPES = "activity_types"


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """The fields common to the facts of all streams, for subscription filters and derived rows.

    `kind` is the type of the transaction or activity. `size`, `price` and `value` are decimal texts; `value` is in
    USD. `direction` is the venue's `dir` ("Open Long").
    """

    time: datetime
    coin: str
    address: str | None = None
    side: str | None = None
    kind: str | None = None
    whale_id: int | None = None
    value: str | None = None
    size: str | None = None
    price: str | None = None
    hash: str | None = None
    direction: str | None = None


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """The data of one stored fact: the fields of its REST and WebSocket output, in the contract's order.

    Field names are the column names of the stream's table. `seq` is the table's `id`; it is 0 before the row is
    stored. `hidden` fields are stored and not published: they are UNSET in the output.
    """

    hidden: ClassVar[tuple[str, ...]] = ()
    _unset: ClassVar[Mapping[str, msgspec.UnsetType]] = {}
    _times: ClassVar[tuple[str, ...]] = ()

    seq: Number = 0

    def __init_subclass__(cls, **config: Any) -> None:
        super().__init_subclass__(**config)
        cls._unset = dict.fromkeys(cls.hidden, msgspec.UNSET)
        cls._times = tuple(name for name, hint in cls.__annotations__.items() if hint is Time)

    def with_seq(self, seq: int) -> Self:
        """The output row: with its number, without the hidden fields."""
        return msgspec.structs.replace(self, seq=seq, **self._unset, **self.output_times())

    def output_times(self) -> dict[str, UtcTime]:
        return {name: output_time(getattr(self, name)) for name in self._times}


class RollupSpec(NamedTuple):
    """The dimensions of a roll-up besides coin and period.

    side    the column of the fact's side
    sides   all sides, in the order of the roll-up's columns; another order requires rebuilding the roll-ups
    value   the summed column; None without sums
    """

    side: str
    sides: type[StrEnum]
    value: str | None = None


Decode = Callable[[bytes], Sequence[Row]]
# Maps facts by stream to derived rows, each with its source's stream and position in that stream's facts. A derived
# row is stored only if its source is new.
Derive = Callable[[Mapping[str, Sequence[Fact]]], Iterable[tuple[str, int, Row]]]


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One numbered sequence of facts.

    name            the name of the stream and its channel (`liquidations`)
    frame_type      the type of its frames (`liquidation`); None for a stream that is stored and not published
    is_state        only the latest row of each coin matters: an older one is stored and not published
    model           the table of the rows; its columns have the names of the row's fields
    row             the struct of one fact's data
    time            the field with the fact time
    identity        the values that identify a fact; their texts are hashed to the event key
    fact            extracts the Fact of a row, for filters and derived rows
    sources         decoders of its messages: {(topic, tag): decode}. `decode` returns the rows in a message's bytes;
                    it raises msgspec's errors or ValueError for invalid data
    params          filter parameters of a subscription; the enum of accepted values, or None for free values
    required        mandatory filter parameters
    derives_from    the streams whose new rows are the sources of this one's rows
    derive          computes the derived rows
    columns         the column or expression of each Fact field that a subscription can filter by
    extra_columns   columns of `incoming_<name>` that the table does not have, with their SQL types
    after_insert    SQL statement that runs after the insert. It can read the temporary tables
                    `incoming_<name>` (ord and the columns) and `stored` (stream, ord, seq)
    conflict_check  SQL condition on the extra columns of an incoming row `i` that duplicates row `t`: true if they
                    conflict with the stored values
    watch           adds wallets to the watched ones, [(address, alias)]
    rollup          dimensions of its roll-ups, from which totals and sums are read; None without roll-ups
    after_delete    a CTE that runs when rows are pruned; it reads them from the CTE `deleted`
    """

    name: str
    frame_type: str | None
    is_state: bool
    model: "type[StoredFact]"
    row: type[Row]
    time: str
    identity: Callable[[Any], tuple[object, ...]]
    fact: Callable[[Any], Fact]
    sources: Mapping[tuple[TopicName, str | None], Decode] = field(default_factory=dict)
    params: Mapping[Param, type[StrEnum] | None] = field(default_factory=dict)
    required: frozenset[Param] = frozenset()
    derives_from: tuple[str, ...] = ()
    derive: Derive | None = None
    columns: "Mapping[str, str | Combinable]" = field(default_factory=dict)
    extra_columns: Mapping[str, str] = field(default_factory=dict)
    after_insert: str = ""
    conflict_check: str = "false"
    watch: Callable[[Sequence[tuple[str, str]]], None] | None = None
    rollup: RollupSpec | None = None
    after_delete: str = ""


_registered: dict[str, Stream] = {}


def register(stream: Stream) -> Stream:
    """Registers a stream; called once for each, in `AppConfig.ready`."""
    if stream.name in _registered:
        raise ValueError(f"stream {stream.name} is already registered: choose another name")
    _registered[stream.name] = stream
    return stream


def all_streams() -> list[Stream]:
    """Every stream in name order, which is the lock order."""
    return sorted(_registered.values(), key=lambda stream: stream.name)


def channels() -> dict[str, Stream]:
    """The streams that accept subscriptions, by channel."""
    return {stream.name: stream for stream in all_streams() if stream.frame_type is not None}


def get_stream(name: str) -> Stream:
    return _registered[name]


def watch_wallets(wallets: Sequence[tuple[str, str]]) -> None:
    """Adds wallets, [(address, alias)], to the streams with `watch`; existing wallets stay unchanged."""
    for stream in all_streams():
        if stream.watch is not None:
            stream.watch(wallets)
