"""Validation of query and path parameters. Errors name the parameter and the accepted values.

An empty value counts as absent, since HTML forms send every field. A repeated parameter is the same as a comma where
it takes several values, else it is rejected: either choice would silently drop a value.
"""

import difflib
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
# Limits of the client's own names in an error response.
MAX_REPORTED_NAMES = 10
MAX_REPORTED_NAME_LENGTH = 64
FLAGS = {"true": True, "1": True, "false": False, "0": False}
DIGITS = re.compile(r"[0-9]{1,19}", re.ASCII)
# `+` in a query string arrives as a blank; a blank within the first eleven characters is that before the clock.
BLANK_OFFSET = re.compile(r"(.{11}.*) (\d\d(?::?\d\d)?)", re.ASCII)


def invalid_parameter(name: str, reason: str) -> ValidationError:
    """A 400 that names the parameter; `reason` continues the sentence after the name."""
    return ValidationError({name: [f"{name} {reason}"]})


def reject_unknown(names: Iterable[str], known: Sequence[str], ignored: Container[str] = ()) -> None:
    """Raises a 400 with all unknown names: a misspelt filter would match everything, a misspelt field be dropped.

    A name in a JSON body may contain a lone surrogate, which UTF-8 cannot encode; it becomes `?`.
    """
    unknown = [name for name in names if name not in known and name not in ignored][:MAX_REPORTED_NAMES]
    if unknown:
        listed = " and ".join(filter(None, [", ".join(known[:-1]), known[-1]]))
        reported = [name[:MAX_REPORTED_NAME_LENGTH].encode(errors="replace").decode() for name in unknown]
        raise ValidationError(
            {name: [f"{name} is unknown{did_you_mean(name, known)}; accepted: {listed}"] for name in reported}
        )


def did_you_mean(text: str, known: Iterable[str]) -> str:
    """The known name nearest to `text` as a question in brackets; empty if none is similar."""
    by_lower = {name.lower(): name for name in known}
    nearest = difflib.get_close_matches(text.lower(), by_lower, 1)
    return f" (did you mean {by_lower[nearest[0]]}?)" if nearest else ""


@dataclass(frozen=True)
class Parameter(Generic[T]):
    """A parameter's type.

    read    parses a text; raises ValueError or OverflowError if it is invalid
    takes   the accepted values in words: "a whole number from 1 to 100"
    schema  the accepted values as an OpenAPI schema
    is_list whether it takes several values, separated by commas
    """

    read: Callable[[str], T]
    takes: str
    schema: Mapping[str, Any]
    is_list: bool = False

    def parse(self, texts: Sequence[str]) -> T | None:
        """Returns the value, None if absent; raises ValueError with the reason."""
        if len(texts) > 1 and self.is_list:
            texts = [",".join(filter(None, texts))]
        if len(texts) > 1:
            raise ValueError("is given more than once")
        if not texts or not texts[0]:
            return None
        try:
            return self.read(texts[0])
        except (ValueError, OverflowError):
            raise ValueError(f"takes {self.takes}") from None

    def from_path(self, name: str, text: str) -> T:
        """The value of a path parameter."""
        value = self._parse_named(name, [text])
        if value is None:
            raise invalid_parameter(name, f"takes {self.takes}")
        return value

    def from_query(self, query: QueryDict, name: str, default: D) -> T | D:
        """The value of a query parameter."""
        value = self._parse_named(name, query.getlist(name))
        return default if value is None else value

    def _parse_named(self, name: str, texts: Sequence[str]) -> T | None:
        try:
            return self.parse(texts)
        except ValueError as error:
            raise invalid_parameter(name, str(error)) from None


def whole_number(minimum: int, maximum: int) -> Parameter[int]:
    def read(text: str) -> int:
        if not DIGITS.fullmatch(text) or not minimum <= int(text) <= maximum:
            raise ValueError
        return int(text)

    takes = f"a whole number from {minimum}" + (f" to {maximum}" if maximum < BIGINT else "")
    return Parameter(read, takes, {"type": "integer", "minimum": minimum, "maximum": maximum})


def one_of(choices: Iterable[str]) -> Parameter[str]:
    names = [str(choice.value if isinstance(choice, StrEnum) else choice) for choice in choices]

    def read(text: str) -> str:
        if text not in names:
            raise ValueError
        return text

    takes = f"{', '.join(names[:-1])} or {names[-1]}"
    return Parameter(read, takes, {"type": "string", "enum": names})


def read_time(text: str) -> datetime:
    match = BLANK_OFFSET.fullmatch(text)
    return formats.parse_time(f"{match[1]}+{match[2]}" if match else text)


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
    if text.lower() not in FLAGS:
        raise ValueError
    return FLAGS[text.lower()]


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
    "one coin, as the venue names it (BTC, kPEPE, @107, #123), in any case",
    {"type": "string", "pattern": "^[!-+.-~-]{1,32}$", "example": "BTC"},
)
COINS = Parameter(
    read_coins,
    "coins, as the venue names them (BTC, kPEPE, @107, #123), in any case, separated by commas",
    {
        "type": "string",
        "pattern": "^[!-+.-~-]{1,32}(,[!-+.-~-]{1,32})*$",
        "example": "BTC,ETH",
    },
    is_list=True,
)
TIME_PARAMETER = Parameter(
    read_time,
    "an ISO 8601 time (2026-01-10T10:30:00Z); without an offset it means UTC",
    {"type": "string", "format": "date-time", "example": "2026-01-10T10:30:00.000000Z"},
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
PAGE_SIZES = whole_number(1, 100)
