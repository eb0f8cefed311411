"""Parses the `params` of a subscribe request into subscriptions: filter, start position, encoding."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from difflib import get_close_matches
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

from realtime.protocol.vocabulary import ErrorCode, ProtocolError
from realtime.streams import Fact, Param, Stream, channels
from realtime.structs.input_types import Address, Amount, Coin, decoder

FILTER_PARAMS = frozenset(Param)
# The params of every channel; each channel has some of the others.
COMMON_PARAMS = ("snapshot", "since", "epoch", "batch")
MAX_SNAPSHOT_ROWS = 100
# Of difflib's ratio: a slip of the pen, not another word.
SIMILARITY = 0.8
Seq = Annotated[int, Meta(ge=0, le=2**63 - 1)]

A = TypeVar("A")
# The schema forbids an empty list; the error for it is that of `_check_values`, not msgspec's.
NonEmptyList = Annotated[list[A], Meta(extra_json_schema={"minItems": 1})]
SnapshotSize = Annotated[
    int,
    Meta(
        ge=1,
        le=MAX_SNAPSHOT_ROWS,
        description="begin with this many of the last matching events; state channels: with the latest of each coin",
    ),
]
Since = Annotated[
    Seq | dict[str, Seq], Meta(description="begin after this `seq`; for several channels {channel: seq}", examples=[1])
]
EpochValue = Annotated[str, Meta(description="the epoch in which `since` was counted; another one leads to a `gap`")]
AMOUNT_INPUT_SCHEMA = {
    "type": ["string", "number"],
    "pattern": "^[0-9]+([.][0-9]+)?$",
    "minimum": 0,
    "description": "decimal, as text or as a number",
    "examples": ["10000"],
}
AmountInput = Annotated[Amount, Meta(extra_json_schema=AMOUNT_INPUT_SCHEMA)]
IsBatch = Annotated[bool, Meta(description="events that are due together come in one frame")]


class Filters(msgspec.Struct, forbid_unknown_fields=True):
    """Conditions on the facts of a channel; a fact has to meet all of them."""

    side: str | None = None
    min_value_usd: AmountInput | None = None


class Params(msgspec.Struct, forbid_unknown_fields=True):
    """Options of a subscription. Without them it begins with the next event and receives all events of its channel.

    None: the param is missing or null.
    """

    coins: NonEmptyList[Coin] | None = None
    user_addresses: NonEmptyList[Address] | None = None
    tx_types: NonEmptyList[str] | None = None
    whale_ids: NonEmptyList[int] | None = None
    activity_types: NonEmptyList[str] | None = None
    filters: Filters | None = None
    snapshot: SnapshotSize | None = None
    since: Since | None = None
    epoch: EpochValue | None = None
    batch: IsBatch | None = None

    def filter_params(self) -> dict[Param, Any]:
        """The values of the filter params that the request contains."""
        values = {**msgspec.structs.asdict(self), **msgspec.structs.asdict(self.filters or Filters())}
        return {Param(name): value for name, value in values.items() if name in FILTER_PARAMS and value is not None}


class Filter(NamedTuple):
    """Conditions on the facts of a stream; None accepts all. Subscribers with equal filters form one filter group."""

    coins: frozenset[str] | None = None
    sides: frozenset[str] | None = None
    addresses: frozenset[str] | None = None
    kinds: frozenset[str] | None = None
    whale_ids: frozenset[int] | None = None
    min_value: Decimal | None = None

    @property
    def value_count(self) -> int:
        """Number of values in all lists, for the limit of a connection."""
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
    """Where a subscription begins: at the head, with a snapshot of at most `snapshot` rows, or after `since`."""

    snapshot: int | None = None
    since: int | None = None
    epoch: str | None = None

    @property
    def is_at_head(self) -> bool:
        return self.snapshot is None and self.since is None


class Subscription(NamedTuple):
    """A parsed subscription to one channel; `params` are its own in the form of the `subscriptions` response."""

    stream: Stream
    filter: Filter
    is_batch: bool
    start: StartPosition
    params: dict[str, Any]


_decode_params = decoder(Params)


def resolve_channels(names: Sequence[str]) -> list[Stream]:
    """The streams of channel names, in order, without repetition; raises ProtocolError for an unknown name."""
    by_name = channels()
    for name in names:
        if name not in by_name:
            raise ProtocolError(ErrorCode.INVALID_CHANNEL, _unknown_channel(name[:64], list(by_name)))
    return [by_name[name] for name in dict.fromkeys(names)]


def _unknown_channel(name: str, known: list[str]) -> str:
    similar = "".join(f"Did you mean '{match}'? " for match in get_close_matches(name, known, 1, SIMILARITY))
    return f"Channel '{name}' is not supported. {similar}The channels are {', '.join(known)}"


def parse_subscriptions(streams: Sequence[Stream], params: msgspec.Raw) -> list[Subscription]:
    """One subscription for each stream, with the params that this stream has. Raises ProtocolError."""
    try:
        parsed = Params() if bytes(params) == b"null" else _decode_params(params)
    except ValueError as error:
        hint = f"; {_accepted(streams)}" if "unknown field" in str(error) else ""
        raise _invalid_params(f"{error}{hint}") from error
    filter_params = parsed.filter_params()
    supported = {param for stream in streams for param in stream.params}
    for param in filter_params:
        if param not in supported:
            raise _invalid_params(f"none of the channels takes '{param}'; {_accepted(streams)}")
    starts = _start_positions(streams, parsed)
    return [
        _subscription(stream, filter_params, bool(parsed.batch), start)
        for stream, start in zip(streams, starts, strict=True)
    ]


def _accepted(streams: Sequence[Stream]) -> str:
    """The accepted params of each channel, as the text of an error."""
    return "; ".join(
        f"'{stream.name}' takes {', '.join([*map(_path, stream.params), *COMMON_PARAMS])}" for stream in streams
    )


def _path(param: Param) -> str:
    return f"filters.{param}" if param in Filters.__struct_fields__ else param


def _start_positions(streams: Sequence[Stream], parsed: Params) -> list[StartPosition]:
    if parsed.since is None:
        return [StartPosition(snapshot=parsed.snapshot)] * len(streams)
    if parsed.snapshot is not None:
        raise _invalid_params("'since' and 'snapshot' exclude each other; send one of them")
    names = {stream.name for stream in streams}
    if isinstance(parsed.since, int) and len(names) > 1:
        raise _invalid_params("with several channels 'since' must be an object {channel: seq}")
    positions = dict.fromkeys(names, parsed.since) if isinstance(parsed.since, int) else parsed.since
    if unknown := next((name for name in positions if name not in names), None):
        raise _invalid_params(f"'since' names '{unknown[:64]}', which is none of the requested channels")
    return [StartPosition(since=positions.get(stream.name), epoch=parsed.epoch) for stream in streams]


def _subscription(
    stream: Stream, filter_params: dict[Param, Any], is_batch: bool, start: StartPosition
) -> Subscription:
    params = {param: value for param, value in filter_params.items() if param in stream.params}
    for param in stream.required - set(params):
        raise _invalid_params(f"channel '{stream.name}' needs '{param}'")
    for param, value in params.items():
        _check_values(stream, param, value if isinstance(value, list) else [value])
    response_params = _response_params(params) | ({"batch": True} if is_batch else {})
    return Subscription(stream, _filter(params), is_batch, start, response_params)


def _check_values(stream: Stream, param: Param, values: Sequence[Any]) -> None:
    if not values:
        raise _invalid_params(f"'{param}' is empty; omit it to receive all")
    choices = stream.params[param]
    if choices is not None:
        for value in values:
            if value not in list(choices):
                raise _invalid_params(f"'{param}' of '{stream.name}' takes {', '.join(choices)}")


def _filter(params: dict[Param, Any]) -> Filter:
    kinds = [*params.get(Param.TX_TYPES, []), *params.get(Param.ACTIVITY_TYPES, [])]
    return Filter(
        coins=_set(coin.lower() for coin in params.get(Param.COINS, [])),
        sides=_set([params[Param.SIDE]] if Param.SIDE in params else []),
        addresses=_set(str(address) for address in params.get(Param.USER_ADDRESSES, [])),
        kinds=_set(kinds),
        whale_ids=_set(params.get(Param.WHALE_IDS, [])),
        min_value=Decimal(params[Param.MIN_VALUE_USD]) if Param.MIN_VALUE_USD in params else None,
    )


def _set(values: Iterable[Any]) -> frozenset[Any] | None:
    # `_check_values` has rejected empty lists, so an empty set means that the param is absent.
    return frozenset(values) or None


def _response_params(params: dict[Param, Any]) -> dict[str, Any]:
    nested = {param: value for param, value in params.items() if param in (Param.SIDE, Param.MIN_VALUE_USD)}
    plain: dict[str, Any] = {param: value for param, value in params.items() if param not in nested}
    response_params = plain | ({"filters": nested} if nested else {})
    return msgspec.json.decode(msgspec.json.encode(response_params), type=dict[str, Any])


def _invalid_params(message: str) -> ProtocolError:
    return ProtocolError(ErrorCode.INVALID_PARAMS, message)
