"""Checked types of the fields in Kafka messages, and the decoder from bytes to structs of them.

A decoded struct is valid: decimals are texts with all decimal places, addresses and hashes are in lower case.
Invalid values raise msgspec.ValidationError with the path of the field.
"""

import functools
import operator
import re
from collections.abc import Callable
from datetime import datetime
from types import UnionType
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT, Meta

from hyperwatch import formats


class _Checked(type):
    """Metaclass of types whose checked values are plain `str`: msgspec does not encode subclasses of `str`."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, str)


class _CheckedTime(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, datetime)


class Amount(str, metaclass=_Checked):
    """Text of a non-negative numeric(30, 8)."""


class SignedAmount(str, metaclass=_Checked):
    """Text of a numeric(30, 8)."""


class Leverage(str, metaclass=_Checked):
    """Text of a non-negative numeric(10, 2)."""


class Ratio(str, metaclass=_Checked):
    """Text of a non-negative number with the decimal places of the message."""


class Address(str, metaclass=_Checked):
    """`0x` and 40 hex digits, in lower case."""


class Hash(str, metaclass=_Checked):
    """`0x` and 64 hex digits, in lower case."""


class Coin(str, metaclass=_Checked):
    """Name of a coin, case-sensitive."""


class InputTime(datetime, metaclass=_CheckedTime):
    """An ISO 8601 time in any usual form, as UtcTime."""


class Number(str):
    """Text of a JSON number with a point or an exponent; a float would lose digits."""


Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
BlockNumber = Annotated[int, Meta(ge=0, le=2**63 - 1)]

TEXT_CHECKS: dict[type, Callable[[object], Any]] = {
    Amount: formats.AMOUNT.text,
    SignedAmount: formats.SIGNED_AMOUNT.text,
    Leverage: formats.LEVERAGE.text,
    Ratio: formats.Decimals(30, 29).text,
    Address: formats.address,
    Hash: formats.tx_hash,
    Coin: formats.coin,
    InputTime: formats.parse_time,
}

# Texts that a check returns unchanged: almost all texts in messages.
CANONICAL_PATTERNS = {
    Amount: formats.AMOUNT.canonical,
    SignedAmount: formats.SIGNED_AMOUNT.canonical,
    Leverage: formats.LEVERAGE.canonical,
    Address: r"0x[0-9a-f]{40}\Z",
    Hash: r"0x[0-9a-f]{64}\Z",
    Coin: rf"{formats.COIN.pattern}\Z",
}
# msgspec decodes a usual time in a fifth of the time of a hook, but rounds digits beyond microseconds.
LONG_FRACTION = re.compile(rb":\d\d[.,]\d{7}")
NON_NUMERIC_TYPES = (Address, Hash, Coin, InputTime)

M = TypeVar("M")


class ContradictionError(ValueError):
    """Two fields of a message that must agree do not."""


def _check(checked_type: type, value: object) -> Any:
    if value is None:
        raise ValueError("Expected a value, got `null`")
    # The number 1.5 would be a valid name of a coin.
    if isinstance(value, Number) and checked_type in NON_NUMERIC_TYPES:
        raise ValueError("expected a string, got a number")
    return TEXT_CHECKS[checked_type](value)


def decoder(struct: type[M]) -> Callable[[bytes | msgspec.Raw], M]:
    """A function from JSON bytes to `struct`; raises msgspec.DecodeError or msgspec.ValidationError.

    The first pass matches canonical texts by pattern, without a Python call for each field. Messages with other texts
    are decoded a second time, with all checks.
    """
    # The hook checks the types without a canonical pattern; without it they would accept any text.
    decode_canonical: Callable[[bytes | msgspec.Raw], M]
    decode_canonical = msgspec.json.Decoder(_canonical(struct), dec_hook=_check, float_hook=Number).decode
    decode_checked = msgspec.json.Decoder(struct, dec_hook=_check, float_hook=Number).decode

    def decode(message: bytes | msgspec.Raw) -> M:
        if LONG_FRACTION.search(message):
            return decode_checked(message)
        try:
            return decode_canonical(message)
        except msgspec.ValidationError:
            return decode_checked(message)

    return decode


def _canonical(hint: Any) -> Any:
    """`hint` with patterns of canonical texts in place of checked types; for a struct, a subclass."""
    if hint is InputTime:
        return datetime
    if hint in CANONICAL_PATTERNS:
        return Annotated[str, Meta(pattern=f"^{CANONICAL_PATTERNS[hint]}")]
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return _canonical_struct(hint)
    if get_origin(hint) is list:
        return list[_canonical(*get_args(hint))]  # type: ignore[misc]
    if isinstance(hint, UnionType):
        return functools.reduce(operator.or_, map(_canonical, get_args(hint)))
    return hint


def _canonical_struct(struct: type[msgspec.Struct]) -> type[msgspec.Struct]:
    hints = get_type_hints(struct, include_extras=True)
    fields: list[Any] = [
        (field.name, _canonical(hints[field.name]), *(() if field.default is NODEFAULT else (field.default,)))
        for field in msgspec.structs.fields(struct)
    ]
    return msgspec.defstruct(struct.__name__, fields, bases=(struct,), kw_only=True)


class RawData(msgspec.Struct):
    """The fields of `raw_data`, the venue's own record, that are used; the record is stored unchanged.

    Fields of an unexpected type are ignored: they only inform.
    """

    tid: Any = None
    dir: Any = None
    side: Any = None

    @property
    def trade_id(self) -> str | None:
        """The text of `tid`; None if it is missing or 0."""
        text = str(self.tid) if type(self.tid) in (int, str) else ""
        return text if text not in ("", "0") else None

    @property
    def direction(self) -> str | None:
        return self.dir if type(self.dir) is str else None

    @property
    def venue_side(self) -> str | None:
        """B or A: the same in the public feed and in a node's files."""
        return self.side if self.side in ("B", "A") else None


_read_raw_data = decoder(RawData)
NO_RAW_DATA = RawData()


def raw_data(raw: msgspec.Raw | msgspec.UnsetType | None) -> RawData:
    """The used fields of `raw_data`, which is an object, null or missing."""
    return _read_raw_data(raw) if isinstance(raw, msgspec.Raw) else NO_RAW_DATA


def object_or_none(raw: msgspec.Raw) -> msgspec.Raw | None:
    """A copy of a raw JSON object, None for null: a Raw is a view, which would hold the whole message in memory."""
    text = bytes(raw)
    if text == b"null":
        return None
    raw_data(raw)
    return msgspec.Raw(text)


def known_block(number: int | None) -> int | None:
    """`block_number` 0 in a message means that the number is unknown."""
    return number or None
