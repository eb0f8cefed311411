"""What a query parameter or a part of a path takes: its value checked, or refused with its name and what it takes.

An empty value is as none: a form sends every field it has. A parameter that is given twice is refused, since
either choice would silently drop what was asked for.
"""

import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Generic, TypeVar

from django.http import QueryDict
from rest_framework.exceptions import ValidationError

from hyperwatch import formats

T = TypeVar("T")
D = TypeVar("D")

BIGINT = 2**63 - 1
# Of what a client has made up an answer repeats so much and no more.
MAX_NAMES = 10
MAX_NAME_LENGTH = 64
DIGITS = re.compile(r"[0-9]{1,19}", re.ASCII)
# `+` in a query string arrives as a space.
TIME = re.compile(r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)(Z|z|[-+ ]\d\d:?\d\d)?)?", re.ASCII)


def invalid_parameter(name: str, reason: str) -> ValidationError:
    """A 400 that names the parameter; `reason` goes on after the name."""
    return ValidationError({name: [f"{name} {reason}"]})


def reject_unknown(given: Iterable[str], known: Sequence[str], tolerated: Container[str] = ()) -> None:
    """A 400 that names what is none of `known`: a misspelt filter would find everything, a misspelt field be lost.

    A name may be no Unicode: JSON can write half a character.
    """
    unknown = [name for name in given if name not in known and name not in tolerated][:MAX_NAMES]
    if unknown:
        listed = " and ".join(filter(None, [", ".join(known[:-1]), known[-1]]))
        named = [name[:MAX_NAME_LENGTH].encode(errors="replace").decode() for name in unknown]
        raise ValidationError({name: [f"{name} is not known here, only {listed}"] for name in named})


@dataclass(frozen=True)
class Parameter(Generic[T]):
    """What is taken.

    read    makes the value of a text; raises ValueError or OverflowError for what cannot be
    takes   says what it takes: "a whole number from 1 to 100"
    schema  the same for OpenAPI
    """

    read: Callable[[str], T]
    takes: str
    schema: Mapping[str, Any]

    def parse(self, texts: Sequence[str]) -> T | None:
        """The value given, None where none is; raises ValueError with the reason."""
        if len(texts) > 1:
            raise ValueError("is given more than once")
        if not texts or not texts[0]:
            return None
        try:
            return self.read(texts[0])
        except (ValueError, OverflowError):
            raise ValueError(f"takes {self.takes}") from None

    def from_path(self, name: str, text: str) -> T:
        """The value of a part of a path."""
        value = self._checked(name, [text])
        if value is None:
            raise invalid_parameter(name, f"takes {self.takes}")
        return value

    def from_query(self, query: QueryDict, name: str, default: D) -> T | D:
        """The value of a query parameter."""
        value = self._checked(name, query.getlist(name))
        return default if value is None else value

    def _checked(self, name: str, texts: Sequence[str]) -> T | None:
        try:
            return self.parse(texts)
        except ValueError as error:
            raise invalid_parameter(name, str(error)) from None


def whole_number(least: int, most: int) -> Parameter[int]:
    def read(text: str) -> int:
        if not DIGITS.fullmatch(text) or not least <= int(text) <= most:
            raise ValueError
        return int(text)

    takes = f"a whole number from {least}" + (f" to {most}" if most < BIGINT else "")
    return Parameter(read, takes, {"type": "integer", "minimum": least, "maximum": most})


def one_of(choices: Iterable[str]) -> Parameter[str]:
    names = [str(choice.value if isinstance(choice, StrEnum) else choice) for choice in choices]

    def read(text: str) -> str:
        if text not in names:
            raise ValueError
        return text

    takes = f"{', '.join(names[:-1])} or {names[-1]}"
    return Parameter(read, takes, {"type": "string", "enum": names})


def read_time(text: str) -> datetime:
    """Any offset, none means UTC. Stricter than `fromisoformat`, which takes 1712120312345 for a day in 1712."""
    match = TIME.fullmatch(text)
    if match is None:
        raise ValueError
    day, clock, offset = match.groups()
    offset = (offset or "Z").upper().replace(" ", "+")
    return formats.utc(datetime.fromisoformat(f"{day}T{clock or '00:00'}{offset}"))


def read_amount(text: str) -> Decimal:
    return Decimal(formats.AMOUNT.text(text))


def read_coins(text: str) -> list[str]:
    return [formats.coin(name) for name in text.split(",")]


def read_price_range(text: str) -> tuple[Decimal, Decimal]:
    low, high = map(read_amount, text.split(","))
    if low > high:
        raise ValueError
    return low, high


def read_flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError
    return text == "true"


ADDRESS = Parameter(
    formats.address,
    "0x and 40 hex digits",
    {"type": "string", "pattern": "^0x[0-9a-fA-F]{40}$", "example": "0x" + "2e" * 20},
)
HASH = Parameter(
    formats.tx_hash,
    "0x and 64 hex digits",
    {"type": "string", "pattern": "^0x[0-9a-fA-F]{64}$", "example": "0x" + "e9" * 32},
)
ONE_COIN = Parameter(
    lambda text: [formats.coin(text)],
    "one coin, as the venue names it (BTC, kPEPE, @107), in any case",
    {"type": "string", "pattern": "^[A-Za-z0-9@/:._-]{1,32}$", "example": "BTC"},
)
COINS = Parameter(
    read_coins,
    "coins, as the venue names them (BTC, kPEPE, @107), in any case, separated by commas",
    {
        "type": "string",
        "pattern": "^[A-Za-z0-9@/:._-]{1,32}(,[A-Za-z0-9@/:._-]{1,32})*$",
        "example": "BTC,ETH",
    },
)
TIME_PARAMETER = Parameter(
    read_time,
    "an ISO 8601 time (2026-01-10T10:30:00Z); without an offset it means UTC",
    {"type": "string", "format": "date-time", "example": "2026-01-10T10:30:00Z"},
)
AMOUNT = Parameter(
    read_amount,
    "a decimal number from 0, at most 22 digits before the point and 8 after it",
    {"type": "string", "pattern": r"^\d{1,22}(\.\d{1,8})?$", "example": "10000"},
)
PRICE_RANGE = Parameter(
    read_price_range,
    "two prices, the lower first, separated by a comma",
    {"type": "string", "pattern": r"^\d{1,22}(\.\d{1,8})?,\d{1,22}(\.\d{1,8})?$", "example": "60000,70000"},
)
FLAG = Parameter(read_flag, "true or false", {"type": "boolean"})
ID = whole_number(1, BIGINT)
