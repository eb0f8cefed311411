"""What a client asks for: from the `params` of a subscribe frame to a filter on a channel's facts."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from realtime.protocol.vocabulary import ErrorCode, ProtocolError
from realtime.streams import Fact, Param, Stream, channels
from realtime.structs.input_types import Address, Amount, Coin, decoder

NAMES = frozenset(Param)
SNAPSHOT_MAX = 100
Seq = Annotated[int, Meta(ge=0, le=2**63 - 1)]

A = TypeVar("A")
# That none may be empty is told, but said in words of our own (`_check_values`).
Some = Annotated[list[A], Meta(extra_json_schema={"minItems": 1})]
SnapshotSize = Annotated[
    int, Meta(ge=1, le=SNAPSHOT_MAX, description="begin with the last that match; states: with the newest of each coin")
]
Since = Annotated[
    Seq | dict[str, Seq], Meta(description="begin behind this `seq`; for several channels {channel: seq}", examples=[1])
]
EpochValue = Annotated[str, Meta(description="the life that `since` was numbered in; in another one, a gap is told")]
WRITTEN_AMOUNT = {
    "type": ["string", "number"],
    "pattern": "^[0-9]+([.][0-9]+)?$",
    "minimum": 0,
    "description": "decimal, as text or number",
    "examples": ["10000"],
}
WrittenAmount = Annotated[Amount, Meta(extra_json_schema=WRITTEN_AMOUNT)]
IsBatch = Annotated[bool, Meta(description="frames that are due together come as one")]


class Filters(msgspec.Struct, forbid_unknown_fields=True):
    side: str | UnsetType = UNSET
    min_value_usd: WrittenAmount | UnsetType = UNSET


class Params(msgspec.Struct, forbid_unknown_fields=True):
    coins: Some[Coin] | UnsetType = UNSET
    user_addresses: Some[Address] | UnsetType = UNSET
    tx_types: Some[str] | UnsetType = UNSET
    whale_ids: Some[int] | UnsetType = UNSET
    activity_types: Some[str] | UnsetType = UNSET
    filters: Filters = msgspec.field(default_factory=Filters)
    snapshot: SnapshotSize | UnsetType = UNSET
    since: Since | UnsetType = UNSET
    epoch: EpochValue | UnsetType = UNSET
    batch: IsBatch = False

    def given(self) -> dict[Param, Any]:
        """What was asked for, by the params' names."""
        values = {**msgspec.structs.asdict(self), **msgspec.structs.asdict(self.filters)}
        return {Param(name): value for name, value in values.items() if name in NAMES and value is not UNSET}


class Filter(NamedTuple):
    """Which facts of a stream are wanted; None lets all pass. Clients with equal filters share their work."""

    coins: frozenset[str] | None = None
    sides: frozenset[str] | None = None
    addresses: frozenset[str] | None = None
    kinds: frozenset[str] | None = None
    whale_ids: frozenset[int] | None = None
    min_value: Decimal | None = None

    @property
    def values(self) -> int:
        """How many it names."""
        return sum(map(len, filter(None, (self.coins, self.addresses, self.kinds, self.whale_ids))))

    def matches(self, fact: Fact) -> bool:
        return (
            (self.coins is None or fact.coin.lower() in self.coins)
            and (self.sides is None or fact.side in self.sides)
            and (self.addresses is None or fact.address in self.addresses)
            and (self.kinds is None or fact.kind in self.kinds)
            and (self.whale_ids is None or fact.whale_id in self.whale_ids)
            and (self.min_value is None or Decimal(fact.value or "0") >= self.min_value)
        )


class StartPosition(NamedTuple):
    """Where a subscription begins: at the head, with a snapshot of so many before it, or behind `since`."""

    snapshot: int | None = None
    since: int | None = None
    epoch: str | None = None

    @property
    def is_at_head(self) -> bool:
        return self.snapshot is None and self.since is None


class Subscription(NamedTuple):
    """A filter, the form, the start; and the params it was made from as a client is shown them."""

    stream: Stream
    filter: Filter
    is_batch: bool
    start: StartPosition
    params: dict[str, Any]


_read_params = decoder(Params)


def named_channels(names: Sequence[str]) -> list[Stream]:
    """The streams behind channel names, in their order; raises ProtocolError for one that there is not."""
    known = channels()
    for name in names:
        if name not in known:
            raise ProtocolError(ErrorCode.INVALID_CHANNEL, f"Channel '{name[:64]}' is not supported")
    return [known[name] for name in dict.fromkeys(names)]


def subscriptions(streams: Sequence[Stream], params: msgspec.Raw) -> list[Subscription]:
    """One subscription for each stream. A param is taken by the streams that know it; raises ProtocolError."""
    try:
        read = _read_params(params)
    except ValueError as error:
        raise _bad_params(str(error)) from error
    given = read.given()
    known_to_any = {param for stream in streams for param in stream.params}
    for param in given:
        if param not in known_to_any:
            raise _bad_params(f"none of the channels takes '{param}'")
    starts = _starts(streams, read)
    return [_subscription(stream, given, read.batch, start) for stream, start in zip(streams, starts, strict=True)]


def _starts(streams: Sequence[Stream], read: Params) -> list[StartPosition]:
    if read.since is UNSET:
        return [StartPosition(snapshot=None if read.snapshot is UNSET else read.snapshot)] * len(streams)
    if read.snapshot is not UNSET:
        raise _bad_params("'since' and 'snapshot' do not go together")
    names = {stream.name for stream in streams}
    if isinstance(read.since, int) and len(names) > 1:
        raise _bad_params("for several channels 'since' is {channel: seq}")
    places = dict.fromkeys(names, read.since) if isinstance(read.since, int) else read.since
    if stranger := next((name for name in places if name not in names), None):
        raise _bad_params(f"'since' names '{stranger[:64]}', which is not among the channels")
    epoch = None if read.epoch is UNSET else read.epoch
    return [StartPosition(since=places.get(stream.name), epoch=epoch) for stream in streams]


def _subscription(stream: Stream, given: dict[Param, Any], is_batch: bool, start: StartPosition) -> Subscription:
    taken = {param: value for param, value in given.items() if param in stream.params}
    for param in stream.required - set(taken):
        raise _bad_params(f"channel '{stream.name}' needs '{param}'")
    for param, value in taken.items():
        _check_values(stream, param, value if isinstance(value, list) else [value])
    shown = _shown(taken) | ({"batch": True} if is_batch else {})
    return Subscription(stream, _filter(taken), is_batch, start, shown)


def _check_values(stream: Stream, param: Param, values: Sequence[Any]) -> None:
    if not values:
        raise _bad_params(f"'{param}' is empty; leave it out to have all")
    choices = stream.params[param]
    if choices is not None:
        for value in values:
            if value not in list(choices):
                raise _bad_params(f"'{param}' of '{stream.name}' takes {', '.join(choices)}")


def _filter(taken: dict[Param, Any]) -> Filter:
    kinds = [*taken.get(Param.TX_TYPES, []), *taken.get(Param.ACTIVITY_TYPES, [])]
    return Filter(
        coins=_set(coin.lower() for coin in taken.get(Param.COINS, [])),
        sides=_set([taken[Param.SIDE]] if Param.SIDE in taken else []),
        addresses=_set(str(address) for address in taken.get(Param.USER_ADDRESSES, [])),
        kinds=_set(kinds),
        whale_ids=_set(taken.get(Param.WHALE_IDS, [])),
        min_value=Decimal(taken[Param.MIN_VALUE_USD]) if Param.MIN_VALUE_USD in taken else None,
    )


def _set(values: Iterable[Any]) -> frozenset[Any] | None:
    # Not given is not the same as given and empty, but empty has been refused before.
    return frozenset(values) or None


def _shown(taken: dict[Param, Any]) -> dict[str, Any]:
    nested = {param: value for param, value in taken.items() if param in (Param.SIDE, Param.MIN_VALUE_USD)}
    plain: dict[str, Any] = {param: value for param, value in taken.items() if param not in nested}
    shown = plain | ({"filters": nested} if nested else {})
    return msgspec.json.decode(msgspec.json.encode(shown), type=dict[str, Any])


def _bad_params(message: str) -> ProtocolError:
    return ProtocolError(ErrorCode.INVALID_PARAMS, message)
