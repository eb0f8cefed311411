"""The formats of the contract: times, decimal texts, addresses, hashes, coins, sides.

Amounts are text from Kafka to the client: validated once by `Decimals.text`, cast by PostgreSQL, never a float.
"""

import re
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from enum import StrEnum
from typing import NamedTuple

import msgspec

ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
HASH = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)
# Printable ASCII without the comma, which separates coins in a query.
COIN = re.compile(r"[!-+.-~-]{1,32}", re.ASCII)
# The form of almost all messages, which needs no conversion.
USUAL_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:[0-5]\d(?:\.\d{1,6})?Z", re.ASCII)
TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d)(?::(\d\d)(?:[.,](\d{1,40}))?)?([Zz]|[-+]\d\d(?::?\d\d)?)?)?", re.ASCII
)
LEAP_SECOND = "60"
ZERO_HASH = "0x" + "0" * 64

PLAIN_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.([0-9]+))?", re.ASCII)
NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?", re.ASCII)
MAX_NUMBER_LENGTH = 128

# The LZ77 window of compressed frames (RFC 7692, 7.1.2): the handshake and the compressor must use the same value. The
# default, 15, takes eight times the memory and compresses frames of this size no better.
DEFLATE_WINDOW_BITS = 12

# Enough digits for the product of two 30-digit numbers, so that only the last step rounds.
EXACT_CONTEXT = Context(prec=96, rounding=ROUND_HALF_EVEN)


class Side(StrEnum):
    """Side of a position. Liquidation of a LONG is a forced sale."""

    LONG = "LONG"
    SHORT = "SHORT"


class TransactionSide(StrEnum):
    LONG = "LONG"
    SHORT = "SHORT"
    OPEN = "OPEN"
    CLOSE = "CLOSE"


class Decimals(NamedTuple):
    """The value range of a numeric(digits, places) column of the contract."""

    digits: int
    places: int
    is_signed: bool = False

    @property
    def pattern(self) -> str:
        """Regular expression of its texts, in syntax that all dialects share."""
        sign = "-?" if self.is_signed else ""
        return rf"^{sign}(0|[1-9][0-9]{{0,{self.digits - self.places - 1}}})\.[0-9]{{{self.places}}}$"

    @property
    def canonical(self) -> str:
        """Regular expression, for Python's `re`, of texts that `text` returns unchanged: a zero has no sign."""
        no_zero = r"(?!-0\.0*\Z)" if self.is_signed else ""
        return rf"{no_zero}{self.pattern[1:-1]}\Z"

    def text(self, value: object) -> str:
        """The exact value of a string or an int, with all places: `"45000.5"` becomes `"45000.50000000"`.

        Raises ValueError if it is not a finite number, has too many digits, or is negative without `is_signed`.
        Exponents are checked before formatting: `1e999999999` has eleven bytes and would become a gigabyte of digits.
        """
        text = _number_text(value)
        plain = PLAIN_NUMBER.fullmatch(text)
        places = len(plain[1] or "") if plain else -1
        if plain is None or places > self.places or text[0] == "-":
            return self._text_by_decimal(text)
        whole = len(text) - places - (1 if places else 0)
        if whole > self.digits - self.places:
            raise ValueError(f"more than {self.digits - self.places} digits before the point")
        return text + ("" if places else ".") + "0" * (self.places - places)

    def _text_by_decimal(self, text: str) -> str:
        """Slower path for signs, exponents, leading zeros and trailing places."""
        if len(text) > MAX_NUMBER_LENGTH or not NUMBER.fullmatch(text):
            raise ValueError("not a finite decimal number")
        number = Decimal(text)
        if number and not -MAX_NUMBER_LENGTH < number.adjusted() < self.digits - self.places:
            raise ValueError(f"out of the range of numeric({self.digits}, {self.places})")
        return self.fixed(number)

    def fixed(self, number: Decimal) -> str:
        """A Decimal as text with all places; raises ValueError if that would round or overflow."""
        exact = EXACT_CONTEXT.quantize(number, Decimal(1).scaleb(-self.places))
        if exact != number:
            raise ValueError(f"more than {self.places} places after the point")
        if exact.adjusted() >= self.digits - self.places:
            raise ValueError(f"more than {self.digits - self.places} digits before the point")
        if exact < 0 and not self.is_signed:
            raise ValueError("must not be negative")
        return f"{abs(exact) if exact == 0 else exact:f}"

    def rounded(self, number: Decimal) -> str:
        """A Decimal as text, rounded half-even to the places; raises ValueError if it overflows."""
        try:
            return self.fixed(EXACT_CONTEXT.quantize(number, Decimal(1).scaleb(-self.places)))
        except InvalidOperation as overflow:
            raise ValueError(f"out of the range of numeric({self.digits}, {self.places})") from overflow


AMOUNT = Decimals(30, 8)
SIGNED_AMOUNT = Decimals(30, 8, is_signed=True)
LEVERAGE = Decimals(10, 2)


def _number_text(value: object) -> str:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        # Python raises ValueError for str() of an int with thousands of digits; no column holds one either.
        if abs(value) >= 10**MAX_NUMBER_LENGTH:
            raise ValueError("more digits than the column holds")
        return str(value)
    raise ValueError("a decimal must be a string or a number")


def product(size: str, price: str) -> Decimal:
    """size × price, exact."""
    return EXACT_CONTEXT.multiply(Decimal(size), Decimal(price))


def address(value: object) -> str:
    """`0x` and 40 hex digits, in lower case; raises ValueError."""
    if not isinstance(value, str) or not ADDRESS.fullmatch(value):
        raise ValueError(f"an address is 0x and 40 hex digits, not {value!r:.80}")
    return value.lower()


def tx_hash(value: object) -> str:
    """`0x` and 64 hex digits, in lower case; raises ValueError."""
    if not isinstance(value, str) or not HASH.fullmatch(value):
        raise ValueError(f"a hash is 0x and 64 hex digits, not {value!r:.80}")
    return value.lower()


def coin(value: object) -> str:
    """The venue's name of a coin, with its case; raises ValueError."""
    if not isinstance(value, str) or not COIN.fullmatch(value):
        raise ValueError(f"a coin is 1 to 32 characters of ASCII without blank and comma, not {value!r:.80}")
    return value


class UtcTime(datetime):
    """An aware time in UTC with one form in all output.

    msgspec omits the fraction of a plain datetime when it is zero. It passes a subclass to the encoder's `enc_hook`,
    which is `encode_time`.
    """

    __slots__ = ()


def utc(time: datetime) -> datetime:
    """An aware time in UTC; without an offset it means UTC."""
    if time.tzinfo is UTC:
        return time
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def output_time(time: datetime) -> UtcTime:
    if type(time) is UtcTime and time.tzinfo is UTC:
        return time
    aware = utc(time)
    return UtcTime.combine(aware.date(), aware.timetz())


def isoformat(time: datetime) -> str:
    """ISO 8601 with six digits and `Z`."""
    return utc(time).isoformat(timespec="microseconds")[:26] + "Z"


def compact_isoformat(time: datetime) -> str:
    """ISO 8601 with `Z`, without a fraction of zero: four times as fast as `isoformat`, for keys and COPY."""
    text: str = msgspec.to_builtins(utc(time), enc_hook=encode_time)
    return text


def encode_time(value: object) -> str:
    """The `enc_hook` of msgspec encoders."""
    if isinstance(value, UtcTime):
        return isoformat(value)
    raise TypeError(f"{type(value).__name__} cannot be encoded")


def parse_time(value: object) -> datetime:
    """ISO 8601; without an offset it means UTC. Raises ValueError.

    Digits beyond microseconds are cut: rounding could move a time to the next day. A leap second is the second before.
    """
    if not isinstance(value, str):
        raise ValueError(f"expected a time as a string, got {value!r:.80}")
    try:
        return datetime.fromisoformat(value if USUAL_TIME.fullmatch(value) else _usual_time(value))
    except (ValueError, OverflowError):
        raise ValueError(f"a time is ISO 8601, like 2026-01-10T10:30:00.123456Z, not {value!r:.80}") from None


def _usual_time(text: str) -> str:
    match = TIME.fullmatch(text)
    if match is None:
        raise ValueError
    day, minute, second, fraction, offset = match.groups()
    is_leap = second == LEAP_SECOND
    shown = "59" if is_leap else second or "00"
    time = datetime.fromisoformat(f"{day}T{minute or '00:00'}:{shown}.{(fraction or '0')[:6]}{(offset or 'Z').upper()}")
    usual = isoformat(time)
    if is_leap and usual[11:19] != "23:59:59":
        raise ValueError
    return usual
