"""The types of the fields in Kafka's messages, and how bytes become a typed struct of them.

A struct that was decoded is valid: its decimals are texts with all their places, its addresses and hashes are
in lower case. What cannot be raises msgspec.ValidationError with the field's path.
"""

import functools
import operator
from collections.abc import Callable
from types import UnionType
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT, Meta

from hyperwatch import formats


class _Checked(type):
    """Of types whose values are plain strings that were checked: msgspec encodes `str` and no subclass of it."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, str)


class Amount(str, metaclass=_Checked):
    """Text of a numeric(30, 8) that is not negative."""


class SignedAmount(str, metaclass=_Checked):
    """Text of a numeric(30, 8)."""


class Leverage(str, metaclass=_Checked):
    """Text of a numeric(10, 2) that is not negative."""


class Ratio(str, metaclass=_Checked):
    """Text of a number that is not negative, with as many places as came."""


class Address(str, metaclass=_Checked):
    """`0x` and 40 hex digits, in lower case."""


class Hash(str, metaclass=_Checked):
    """`0x` and 64 hex digits, in lower case."""


class Coin(str, metaclass=_Checked):
    """A coin's name, case kept."""


class Number(str):
    """The text of a JSON number with a point or an exponent: read exactly, never a float."""


Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
BlockNumber = Annotated[int, Meta(ge=0, le=2**63 - 1)]

CHECKS: dict[type, Callable[[object], str]] = {
    Amount: formats.AMOUNT.text,
    SignedAmount: formats.SIGNED_AMOUNT.text,
    Leverage: formats.LEVERAGE.text,
    Ratio: formats.Decimals(30, 29).text,
    Address: formats.address,
    Hash: formats.tx_hash,
    Coin: formats.coin,
}

# The texts that a check returns as they are: almost all that come.
CANONICAL = {
    Amount: formats.AMOUNT.canonical,
    SignedAmount: formats.SIGNED_AMOUNT.canonical,
    Leverage: formats.LEVERAGE.canonical,
    Address: r"0x[0-9a-f]{40}\Z",
    Hash: r"0x[0-9a-f]{64}\Z",
    Coin: rf"{formats.COIN.pattern}\Z",
}
TEXTS = (Address, Hash, Coin)

M = TypeVar("M")


def _check(kind: type, value: object) -> str:
    # The number 1.5 would pass for a coin of that name.
    if isinstance(value, Number) and kind in TEXTS:
        raise ValueError("expected a string, got a number")
    return CHECKS[kind](value)


def decoder(struct: type[M]) -> Callable[[bytes | msgspec.Raw], M]:
    """A function from JSON bytes to `struct`; raises msgspec.DecodeError or msgspec.ValidationError.

    A message whose texts are canonical is read without a call into Python for each; any other is read again.
    """
    # Without the hook a type that has no canonical form would take any text, unchecked.
    quickly: Callable[[bytes | msgspec.Raw], M]
    quickly = msgspec.json.Decoder(_canonical(struct), dec_hook=_check, float_hook=Number).decode
    thoroughly = msgspec.json.Decoder(struct, dec_hook=_check, float_hook=Number).decode

    def decode(message: bytes | msgspec.Raw) -> M:
        try:
            return quickly(message)
        except msgspec.ValidationError:
            return thoroughly(message)

    return decode


def _canonical(kind: Any) -> Any:
    """`kind` with canonical texts in place of the types that are checked; of a struct, a subclass."""
    if kind in CANONICAL:
        return Annotated[str, Meta(pattern=f"^{CANONICAL[kind]}")]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _canonical_struct(kind)
    if get_origin(kind) is list:
        return list[_canonical(*get_args(kind))]  # type: ignore[misc]
    if isinstance(kind, UnionType):
        return functools.reduce(operator.or_, map(_canonical, get_args(kind)))
    return kind


def _canonical_struct(struct: type[msgspec.Struct]) -> type[msgspec.Struct]:
    hints = get_type_hints(struct, include_extras=True)
    fields: list[Any] = [
        (field.name, _canonical(hints[field.name]), *(() if field.default is NODEFAULT else (field.default,)))
        for field in msgspec.structs.fields(struct)
    ]
    return msgspec.defstruct(struct.__name__, fields, bases=(struct,), kw_only=True)


class RawData(msgspec.Struct):
    """What we read of the venue's own record; the record itself is stored as it came."""

    tid: int | str | None = None
    dir: str | None = None


_read_raw_data = decoder(RawData)
NO_RAW_DATA = RawData()


def raw_data(raw: msgspec.Raw | msgspec.UnsetType | None) -> RawData:
    """What is known of a `raw_data` field, which is an object, null or missing."""
    return _read_raw_data(raw) if isinstance(raw, msgspec.Raw) else NO_RAW_DATA


def object_or_none(raw: msgspec.Raw) -> msgspec.Raw | None:
    """A raw JSON object, or None for null, as bytes of its own: a Raw is a view that keeps the whole message."""
    text = bytes(raw)
    if text == b"null":
        return None
    raw_data(raw)
    return msgspec.Raw(text)


def known_block(number: int | None) -> int | None:
    """`block_number` 0 in a message means not known."""
    return number or None
