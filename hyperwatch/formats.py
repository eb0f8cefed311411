"""The formats of the contract: times, decimal texts, addresses, hashes, coins, sides.

Money is text from Kafka to the client: checked once by `Decimals.text`, cast by PostgreSQL, never a float.
"""

import re
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from enum import StrEnum
from typing import NamedTuple

import msgspec

ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
HASH = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)
COIN = re.compile(r"[A-Za-z0-9@/:._-]{1,32}", re.ASCII)
ZERO_HASH = "0x" + "0" * 64

PLAIN = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.([0-9]+))?", re.ASCII)
NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?", re.ASCII)
LONGEST_NUMBER = 128

# The window of compressed frames (RFC 7692, 7.1.2), in zlib's terms: who agrees on it with a client and who compresses
# must mean the same. The default, 15, costs eight times the memory and gains nothing on frames of our size.
DEFLATE_WINDOW = 12

# Wide enough for the product of two 30-digit numbers, so that only the last step rounds.
EXACT = Context(prec=96, rounding=ROUND_HALF_EVEN)


class Side(StrEnum):
    """Of a position. A liquidated LONG is a forced sale."""

    LONG = "LONG"
    SHORT = "SHORT"


class TransactionSide(StrEnum):
    LONG = "LONG"
    SHORT = "SHORT"
    OPEN = "OPEN"
    CLOSE = "CLOSE"


class Decimals(NamedTuple):
    """What a numeric(digits, places) column of the contract holds."""

    digits: int
    places: int
    signed: bool = False

    @property
    def pattern(self) -> str:
        """Of its texts, in what regular expressions have in common everywhere."""
        sign = "-?" if self.signed else ""
        return rf"^{sign}(0|[1-9][0-9]{{0,{self.digits - self.places - 1}}})\.[0-9]{{{self.places}}}$"

    @property
    def canonical(self) -> str:
        """Of the texts that `text` returns as they are, for Python's `re`: a zero has no sign."""
        no_zero = r"(?!-0\.0*\Z)" if self.signed else ""
        return rf"{no_zero}{self.pattern[1:-1]}\Z"

    def text(self, value: object) -> str:
        """`value` (a string or an int) exactly, with all places: `"45000.5"` is `"45000.50000000"`.

        Raises ValueError for what is no plain number, has more digits than fit, or is negative where it may
        not be. An exponent is looked at before anything is formatted: `1e999999999` is eleven bytes and would
        be a gigabyte of digits.
        """
        text = _number_text(value)
        plain = PLAIN.fullmatch(text)
        places = len(plain[1] or "") if plain else -1
        if plain is None or places > self.places or text[0] == "-":
            return self._unusual(text)
        whole = len(text) - places - (1 if places else 0)
        if whole > self.digits - self.places:
            raise ValueError(f"more than {self.digits - self.places} digits before the point")
        return text + ("" if places else ".") + "0" * (self.places - places)

    def _unusual(self, text: str) -> str:
        """Signs, exponents, leading zeros and superfluous places, by way of Decimal."""
        if len(text) > LONGEST_NUMBER or not NUMBER.fullmatch(text):
            raise ValueError("not a finite decimal number")
        number = Decimal(text)
        if number and not -LONGEST_NUMBER < number.adjusted() < self.digits - self.places:
            raise ValueError(f"out of the range of numeric({self.digits}, {self.places})")
        return self.fixed(number)

    def fixed(self, number: Decimal) -> str:
        """A Decimal as text with all places; raises ValueError where that would round or overflow."""
        exact = EXACT.quantize(number, Decimal(1).scaleb(-self.places))
        if exact != number:
            raise ValueError(f"more than {self.places} places after the point")
        if exact.adjusted() >= self.digits - self.places:
            raise ValueError(f"more than {self.digits - self.places} digits before the point")
        if exact < 0 and not self.signed:
            raise ValueError("must not be negative")
        return f"{abs(exact) if exact == 0 else exact:f}"

    def rounded(self, number: Decimal) -> str:
        """A Decimal as text, rounded half-even to the places; raises ValueError where it overflows."""
        try:
            return self.fixed(EXACT.quantize(number, Decimal(1).scaleb(-self.places)))
        except InvalidOperation as overflow:
            raise ValueError(f"out of the range of numeric({self.digits}, {self.places})") from overflow


AMOUNT = Decimals(30, 8)
SIGNED_AMOUNT = Decimals(30, 8, signed=True)
LEVERAGE = Decimals(10, 2)


def _number_text(value: object) -> str:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        # Python refuses to print integers of thousands of digits; none of those fits a column either.
        if abs(value) >= 10**LONGEST_NUMBER:
            raise ValueError("more digits than the column holds")
        return str(value)
    raise ValueError("a decimal comes as a string or a number")


def product(size: str, price: str) -> Decimal:
    """size × price, exact."""
    return EXACT.multiply(Decimal(size), Decimal(price))


def address(value: object) -> str:
    """`0x` and 40 hex digits, in lower case; raises ValueError."""
    if not isinstance(value, str) or not ADDRESS.fullmatch(value):
        raise ValueError("an address is 0x and 40 hex digits")
    return value.lower()


def tx_hash(value: object) -> str:
    """`0x` and 64 hex digits, in lower case; raises ValueError."""
    if not isinstance(value, str) or not HASH.fullmatch(value):
        raise ValueError("a hash is 0x and 64 hex digits")
    return value.lower()


def coin(value: object) -> str:
    """The venue's name of a coin, case kept; raises ValueError."""
    if not isinstance(value, str) or not COIN.fullmatch(value):
        raise ValueError("a coin is 1 to 32 letters, digits or @ / : . _ -")
    return value


def utc(time: datetime) -> datetime:
    """An aware time in UTC; without an offset it means UTC."""
    if time.tzinfo is UTC:
        return time
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def isoformat(time: datetime) -> str:
    """ISO 8601 with `Z`; sub-seconds are kept when there are any."""
    text: str = msgspec.to_builtins(utc(time))
    return text
