"""The types of the fields in Kafka's messages, and how bytes become a typed struct of them.

A struct that was decoded is valid: its decimals are texts with all their places, its addresses and hashes are
in lower case. What cannot be raises msgspec.ValidationError with the field's path.
"""

from collections.abc import Callable
from typing import Annotated, TypeVar

import msgspec

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


Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
BlockNumber = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]

CHECKS: dict[type, Callable[[object], str]] = {
    Amount: formats.AMOUNT.text,
    SignedAmount: formats.SIGNED_AMOUNT.text,
    Leverage: formats.LEVERAGE.text,
    Ratio: formats.Decimals(30, 29).text,
    Address: formats.address,
    Hash: formats.tx_hash,
    Coin: formats.coin,
}

M = TypeVar("M")


TEXTS = (Address, Hash, Coin)


def _check(kind: type, value: object) -> str:
    # The number 1.5 would pass for a coin of that name.
    if isinstance(value, Number) and kind in TEXTS:
        raise ValueError("expected a string, got a number")
    return CHECKS[kind](value)


def decoder(struct: type[M]) -> Callable[[bytes | msgspec.Raw], M]:
    """A function from JSON bytes to `struct`; raises msgspec.DecodeError or msgspec.ValidationError."""
    return msgspec.json.Decoder(struct, dec_hook=_check, float_hook=Number).decode


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
