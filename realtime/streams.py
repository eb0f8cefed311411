"""What a domain tells the stream about itself. A domain's `stream.py` makes a Stream and registers it.

The rest of `realtime` knows domains by what is registered here and by nothing else.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import msgspec

from realtime.structs.output_types import Number

if TYPE_CHECKING:
    from django.db.models.expressions import Combinable

    from realtime.models import StoredFact


class TopicName(StrEnum):
    """The topics of the contract, whatever the settings call them."""

    TRANSACTIONS = "hyperliquid.transactions"
    COMPUTED_DATA = "hyperliquid.computed_data"


class Param(StrEnum):
    """What a subscription may ask for (websocket.md)."""

    COINS = "coins"
    SIDE = "side"
    MIN_VALUE_USD = "min_value_usd"
    USER_ADDRESSES = "user_addresses"
    TX_TYPES = "tx_types"
    WHALE_IDS = "whale_ids"
    ACTIVITY_TYPES = "activity_types"


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """What every stream's facts have in common: enough to route one, and to derive another from it.

    `kind` is the transaction's or the activity's type; `size`, `price` and `value` are decimal texts; `value`
    is in USD; `direction` is the venue's `dir` ("Open Long").
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
    """The data of one stored fact: exactly what REST and WebSocket show of it, in the contract's order.

    A stream's row struct names the columns of its table; `seq` is the table's `id` and 0 until it is stored.
    `hidden` are the fields that are stored and not shown; they are UNSET in what goes out.
    """

    hidden: ClassVar[tuple[str, ...]] = ()
    _unset: ClassVar[Mapping[str, msgspec.UnsetType]] = {}

    seq: Number = 0

    def __init_subclass__(cls, **config: Any) -> None:
        super().__init_subclass__(**config)
        cls._unset = dict.fromkeys(cls.hidden, msgspec.UNSET)

    def with_seq(self, seq: int) -> Self:
        """The row as it goes out once it is stored."""
        return msgspec.structs.replace(self, seq=seq, **self._unset)


class RollupSpec(NamedTuple):
    """By what facts are counted in periods, besides coin and time.

    side    the column of a fact's side
    sides   all that there are, in the order in which counters keep them: with another one they are counted anew
    value   the column that is summed; None: none is
    """

    side: str
    sides: type[StrEnum]
    value: str | None = None


Decode = Callable[[bytes], Sequence[Row]]
# From facts by stream. Each derived row comes with the stream of its source and the place there; it is stored if the
# source is new.
Derive = Callable[[Mapping[str, Sequence[Fact]]], Iterable[tuple[str, int, Row]]]


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One numbered sequence of facts.

    name        of the stream and its channel (`liquidations`)
    frame_type  of its frames (`liquidation`); None for a stream that is stored but not pushed
    is_state    only the newest of each coin counts, so a late one is stored and not sent
    model       where the rows are stored; its columns are named after the row's fields
    row         the struct of one fact's data
    time        the field that holds the fact's own time
    identity    what makes two rows the same fact; its texts become the event key
    fact        what routes and derives
    reads       the messages it reads: {(topic, tag): decode}. `decode` takes the message's bytes and returns
                the rows in it; it raises msgspec's errors or ValueError for what cannot be
    params      what a subscription to it may ask for, and the values that each takes where they are few
    required    those it must ask for
    derives_from, derive
                the streams whose newly stored facts it is made from, and how
    passengers  columns of the incoming rows that are no columns of the table, with their SQL types, for
    columns     for each of the Fact's fields that a subscription may ask for, the column or expression behind it
    then        one more SQL statement after the insert. It sees the temporary tables
                `incoming_<name>` (ord and the columns) and `stored` (stream, ord, seq)
    differs     an SQL condition on the passengers of an incoming row `i` whose fact is known as row `t`: whether
                they are others than came then
    follow      makes it follow wallets, [(address, alias)]
    counted     what its facts are counted by, so that totals and sums need not read them; None: they are not
    gone        one more CTE when rows are removed, which sees them as `gone`
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
    """Called once for each stream, when its app is ready."""
    if stream.name in _registered:
        raise ValueError(f"two streams are called {stream.name}")
    _registered[stream.name] = stream
    return stream


def all_streams() -> list[Stream]:
    """Every stream, in name order: the order in which locks are taken."""
    return sorted(_registered.values(), key=lambda stream: stream.name)


def channels() -> dict[str, Stream]:
    """The streams that can be subscribed to, by channel."""
    return {stream.name: stream for stream in all_streams() if stream.frame_type is not None}


def get_stream(name: str) -> Stream:
    return _registered[name]


def watch_wallets(wallets: Sequence[tuple[str, str]]) -> None:
    """Makes every stream that follows wallets follow these, [(address, alias)]; known ones stay as they are."""
    for stream in all_streams():
        if stream.watch is not None:
            stream.watch(wallets)
