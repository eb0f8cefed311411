"""Every kind of message that kafka.md refuses, each with its reason."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from django.conf import settings

from realtime.kafka.consumer import KafkaMessage
from realtime.models import Reason
from realtime.tests.builders import (
    computed,
    level,
    liquidation,
    liquidation_map,
    message,
    position,
    position_summary,
    ratio,
    transaction,
)

BARE = "@bare@"
DEEP = "[" * 5_000 + "]" * 5_000

Cases = dict[str, KafkaMessage]


class Refusal(NamedTuple):
    what: str
    reason: Reason
    message: KafkaMessage


def refusals() -> list[Refusal]:
    """All of them; the clock is builders.NOW."""
    return [Refusal(what, reason, refused) for reason, cases in _cases() for what, refused in cases.items()]


def bare(literal: bytes, build: Callable[..., KafkaMessage] = transaction, **fields: Any) -> KafkaMessage:
    """A message in which the text `@bare@` gives way to a literal that json.dumps would not write."""
    built = build(**fields)
    assert built.value is not None
    assert f'"{BARE}"'.encode() in built.value
    return built._replace(value=built.value.replace(f'"{BARE}"'.encode(), literal))


def _cases() -> Iterator[tuple[Reason, Cases]]:
    yield Reason.NOT_JSON, _no_json()
    yield Reason.NOT_AN_OBJECT, _no_objects()
    yield Reason.MISSING_FIELD, _missing_fields()
    yield Reason.UNKNOWN_TYPE, {"an unknown data_type": computed("FUNDING", {}), "an empty one": computed("", {})}
    yield Reason.BAD_VALUE, _bad_numbers() | _bad_texts() | _wrong_types() | _impossible()
    yield Reason.CONTRADICTION, _contradictions()
    yield Reason.IN_FUTURE, _in_future()
    yield Reason.TOO_OLD, _too_old()
    yield Reason.TOO_LARGE, {"a megabyte": transaction(raw_data={"x": "x" * (1_000_000 - 1_000)})}


def _on_transactions(value: bytes | None) -> KafkaMessage:
    return message(settings.KAFKA_TOPIC_TRANSACTIONS, value)


def _on_computed(value: bytes | None) -> KafkaMessage:
    return message(settings.KAFKA_TOPIC_COMPUTED_DATA, value)


def _no_json() -> Cases:
    whole = transaction().value or b""
    return {
        "no JSON at all": _on_transactions(b"hello"),
        "an empty value": _on_transactions(b""),
        "a null value": _on_transactions(None),
        "a null value on the other topic": _on_computed(None),
        "a text cut off": _on_transactions(whole[:-1]),
        "a text with something behind it": _on_transactions(whole + b"x"),
        "invalid UTF-8 in a field": bare(b'"\xff\xfe"', coin=BARE),
        "invalid UTF-8 in a field that nobody reads": _on_transactions(b'{"more": "\xff", ' + whole[1:]),
        "invalid UTF-8 in raw_data": bare(b'{"x": "\xff"}', raw_data=BARE),
        "a bare NaN": bare(b"NaN", size=BARE),
        "a bare Infinity": bare(b"Infinity", size=BARE),
        "a bare -Infinity": bare(b"-Infinity", fee=BARE),
        "a number with underscores": bare(b"1_000", size=BARE),
        "a number with leading zeros": bare(b"007", size=BARE),
        "a number with a plus": bare(b"+1", size=BARE),
        "half a surrogate pair in text": bare(b'"\\ud800"', coin=BARE),
        "half a surrogate pair in raw_data": bare(b'{"x": "\\ud800"}', raw_data=BARE),
        "a bare control character in raw_data": bare(b'{"x": "\x01"}', raw_data=BARE),
        "a bare NaN in raw_data": bare(b'{"x": NaN}', raw_data=BARE),
    }


def _no_objects() -> Cases:
    texts = (b"null", b"true", b"1", b"1e400", b'"text"', b"[]", b"[{}]")
    return {
        f"{text.decode()} on {send.__name__}": send(text) for text in texts for send in (_on_transactions, _on_computed)
    }


def _missing_fields() -> Cases:
    needed = ("tx_hash", "block_timestamp", "user_address", "coin", "side", "size", "price", "tx_type")
    liquidated = ("tx_hash", "block_timestamp", "user_address", "coin", "side", "liquidated_size", "liquidation_price")
    return {
        **{f"a transaction without {name}": transaction(**{name: ...}) for name in needed},
        **{f"a liquidation without {name}": _without(liquidation(), name) for name in liquidated},
        "no data_type": _on_computed(b"{}"),
        "a data_type of null": _on_computed(b'{"data_type": null}'),
        **{f"a transaction with {name} null": transaction(**{name: None}) for name in needed},
        **{f"a liquidation with {name} null": liquidation(**{name: None}) for name in ("liquidated_size", "side")},
        "a coin of null outside": _on_computed(
            b'{"data_type": "LIQUIDATION_MAP", "coin": null, "timestamp": "2026-01-10T10:30:00Z", "data": {}}'
        ),
        "no data": _on_computed(b'{"data_type": "LIQUIDATION", "coin": "BTC", "timestamp": "2026-01-10T10:30:00Z"}'),
        "a ratio without short_ratio": ratio(short_ratio=...),
        "a ratio without long_accounts": ratio(long_accounts=...),
        "a map without levels": computed("LIQUIDATION_MAP", {}),
        "a level without a price": liquidation_map(levels=[level(...)]),
        "a summary without positions": computed("POSITION_SUMMARY", {}),
        "a position without a mark price": position_summary(positions=[position(mark_price=...)]),
        "a whole object of something else": _on_transactions(b'{"hello": "world"}'),
    }


def _without(built: KafkaMessage, name: str) -> KafkaMessage:
    # The field inside `data`; the builder wants coin and time for the outside too.
    inside = (built.value or b"").rindex(f'"{name}": '.encode())
    end = (built.value or b"").index(b", ", inside) + 2
    return built._replace(value=(built.value or b"")[:inside] + (built.value or b"")[end:])


def _bad_numbers() -> Cases:
    texts = [
        "NaN", "nan", "sNaN", "Infinity", "-Infinity", "inf", "1_000", "", " ", " 1", "1 ", "1\n", "0x10", "1,5", "--1",
        "1e400", "1e999999999", "1e-999999999", "1e9999999999999999999999", "1e-9", "0.123456789", "1e22",
        "12345678901234567890123", "-1", "-0.00000001", "١", "1.2.3", ".", "e5", "1" * 200,
    ]  # fmt: skip
    bare_ones = [b"1e400", b"1e999999999", b"-1", b"-0.00000001", b"0.123456789", b"1e22", b"1" * 23, b"1" * 5_000]
    return {
        **{f"the size {text!r}": transaction(size=text) for text in texts},
        **{f"the bare size {text[:30].decode()}": bare(text, size=BARE) for text in bare_ones},
        "an integer of 5,000 digits where none belongs": bare(b"1" * 5_000, coin=BARE),
        "a price below nothing": liquidation(liquidation_price="-1"),
        "a value below nothing": liquidation(liquidation_value_usd="-1"),
        "a value that overflows": liquidation(
            liquidated_size="1e15", liquidation_price="1e15", liquidation_value_usd=...
        ),
        "a fee of too many digits": transaction(fee="-1e22"),
        "a leverage of three places": transaction(leverage="1.001"),
        "a leverage of nine digits": transaction(leverage="100000000"),
        "a negative block": transaction(block_number=-1),
        "a block beyond 64 bits": bare(b"9223372036854775808", block_number=BARE),
        "a negative count": ratio(long_accounts=-1),
        "a count beyond 32 bits": ratio(long_accounts=2**31),
        "a count with a fraction": ratio(long_accounts=1.5),
    }


def _bad_texts() -> Cases:
    return {
        "an address of 39 digits": transaction(user_address="0x" + "a" * 39),
        "an address of 41 digits": transaction(user_address="0x" + "a" * 41),
        "an address with a g": transaction(user_address="0x" + "g" * 40),
        "an address and a line end": transaction(user_address="0x" + "a" * 40 + "\n"),
        "a liquidator UNKNOWN": liquidation(liquidator_address="UNKNOWN"),
        "a hash of 63 digits": transaction(tx_hash="0x" + "a" * 63),
        "a hash without 0x": transaction(tx_hash="a" * 66),
        "an empty coin": transaction(coin=""),
        "a coin of 33 characters": transaction(coin="B" * 33),
        "a coin with a blank": transaction(coin="BTC "),
        "a coin with NUL": transaction(coin="BTC\0"),
        "an address with NUL": transaction(user_address="0x" + "a" * 39 + "\0"),
        "the side UP": transaction(side="UP"),
        "the side long": transaction(side="long"),
        "the side OPEN of a liquidation": liquidation(side="OPEN"),
        "the side OPEN of a liquidation's transaction": transaction(tx_type="LIQUIDATION", side="OPEN"),
        "the type TRADE": transaction(tx_type="TRADE"),
        "a side that reads like an error": transaction(side="missing required field"),
        "a date that is none": transaction(block_timestamp="2026-02-30T00:00:00Z"),
        "a leap second in the middle of an hour": transaction(block_timestamp="2026-01-10T10:30:60Z"),
        "a coin with a comma": transaction(coin="BTC,ETH"),
        "a time behind the calendar": transaction(block_timestamp="9999-12-31T23:59:59-12:00"),
        "a time before the calendar": transaction(block_timestamp="0001-01-01T00:00:00+12:00"),
    }


def _wrong_types() -> Cases:
    return {
        "a size of true": transaction(size=True),
        "a size in a list": transaction(size=["1"]),
        "a number for a coin": transaction(coin=5),
        "a number with a point for a coin": transaction(coin=1.5),
        "a number for an address": transaction(user_address=5),
        "a number for a time": transaction(block_timestamp=1_768_041_000),
        "a text for a block": transaction(block_number="1"),
        "a list for raw_data": transaction(raw_data=[1]),
        "a text for raw_data": transaction(raw_data="x"),
        "raw_data nested too deeply": bare(f'{{"x": {DEEP}}}'.encode(), raw_data=BARE),
        "nesting too deep where nobody reads": _on_transactions(f'{{"x": {DEEP}}}'.encode()),
        "a data_type of a wrong type": _on_computed(b'{"data_type": 1}'),
        "data that is a list": _on_computed(
            b'{"data_type": "LIQUIDATION", "coin": "BTC", "timestamp": "2026-01-10T10:30:00Z", "data": []}'
        ),
        "levels that are an object": liquidation_map(levels={}),
        "a level that is a text": liquidation_map(levels=["x"]),
    }


def _impossible() -> Cases:
    return {
        "a pair that is 0.0002 too much": ratio(long_ratio="0.5", short_ratio="0.5002"),
        "a pair that is a trace over 0.0001": ratio(long_ratio="0.5", short_ratio="0.50010000000000000000000000001"),
        "a pair that is too little": ratio(long_ratio="0.5", short_ratio="0.4998"),
        "a ratio above one": ratio(long_ratio="1.0001", short_ratio="0"),
        "a ratio below nothing": ratio(long_ratio="-0.1", short_ratio="1.1"),
        "one position twice": position_summary(positions=[position(), position(size="2")]),
        "one position twice, in other letters": position_summary(
            positions=[position(), position(user_address="0x" + "A1" * 20)]
        ),
    }


def _contradictions() -> Cases:
    outside = liquidation().value or b""
    return {
        "one coin outside and another inside": _on_computed(outside.replace(b'"BTC"', b'"ETH"', 1)),
        "a time outside that is earlier": _on_computed(outside.replace(b"10:30:00.000000Z", b"10:29:59.999999Z", 1)),
        "two sizes": liquidation(size="0.5001"),
        "two prices": liquidation(price="45000.50000001"),
        "two sizes of a liquidation's transaction": transaction(tx_type="LIQUIDATION", liquidated_size="1"),
        "two levels of one price": liquidation_map(levels=[level("44000"), level("44000.0")]),
    }


def _in_future() -> Cases:
    return {
        "a microsecond more than ten minutes ahead": transaction(block_timestamp="2026-01-10T12:10:00.000001Z"),
        "ten minutes and a second ahead, by its offset": transaction(block_timestamp="2026-01-10T14:10:01+02:00"),
        "a transaction of 2100": transaction(block_timestamp="2100-01-01T00:00:00Z"),
        "a liquidation of 2100": liquidation(block_timestamp="2100-01-01T00:00:00Z"),
        "a ratio of 2100": ratio(timestamp="2100-01-01T00:00:00Z"),
        "a map of 2100": liquidation_map(timestamp="2100-01-01T00:00:00Z"),
        "a summary of 2100": position_summary(timestamp="2100-01-01T00:00:00Z"),
    }


def _too_old() -> Cases:
    return {
        "a transaction of 1970": transaction(block_timestamp="1970-01-01T00:00:00Z"),
        "a liquidation of 1970": liquidation(block_timestamp="1970-01-01T00:00:00Z"),
        "a ratio of 1970": ratio(timestamp="1970-01-01T00:00:00Z"),
        "a microsecond before 2020": transaction(block_timestamp="2019-12-31T23:59:59.999999Z"),
    }
