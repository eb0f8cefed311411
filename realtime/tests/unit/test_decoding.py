"""From bytes to rows or a refusal, without a database."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, InvalidOperation
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from hyperwatch.api.parameters import read_time
from hyperwatch.formats import isoformat
from realtime.ingest.decoder import MAX_CLOCK_SKEW, DecodedBatch, decode_batch
from realtime.kafka.consumer import KafkaMessage
from realtime.streams import Row
from realtime.structs.input_types import CANONICAL_PATTERNS, TEXT_CHECKS, decoder
from realtime.tests.builders import NOW, liquidation, message, position_summary, ratio, transaction
from realtime.tests.invalid_messages import BARE, Refusal, bare, refusals


def decoded(*messages: KafkaMessage, now: datetime = NOW) -> DecodedBatch:
    return decode_batch(messages, now)


def the_row(of: KafkaMessage, stream: str = "transactions") -> Any:
    batch = decoded(of)
    assert not batch.rejected, batch.rejected
    (incoming,) = batch.rows[stream].values()
    return incoming.row


def rows(batch: DecodedBatch) -> list[Row]:
    return [incoming.row for stored in batch.rows.values() for incoming in stored.values()]


@pytest.mark.parametrize("refusal", refusals(), ids=lambda refusal: refusal.what[:60])
def test_invalid_message_is_rejected_whole_with_reason(refusal: Refusal) -> None:
    batch = decoded(refusal.message)
    assert [letter.reason for letter in batch.rejected] == [refusal.reason], batch.rejected
    assert batch.rejected[0].error
    assert batch.rejected[0].message is refusal.message
    assert rows(batch) == []


@pytest.mark.parametrize("kind", TEXT_CHECKS, ids=lambda kind: kind.__name__)
@given(drawn=some.data())
def test_fast_and_thorough_text_parsing_agree(kind: Any, drawn: some.DataObject) -> None:
    canonical = CANONICAL_PATTERNS.get(kind, r"[0-9]\.[0-9]{4}\Z")
    odd = some.sampled_from(["NaN", "-0.00000000", "0.00", "00.00000000", "1.00000000\n", "1e5", "-1.5", "0xAB" * 10])
    text = drawn.draw(some.from_regex(canonical, fullmatch=True) | some.from_regex(canonical[:-2]) | odd)
    read: Any = decoder(msgspec.defstruct("Read", [("it", kind)]))
    try:
        checked = TEXT_CHECKS[kind](text)
    except ValueError:
        with pytest.raises(msgspec.ValidationError):
            read(msgspec.json.encode({"it": text}))
    else:
        assert read(msgspec.json.encode({"it": text})).it == checked


def test_the_messages_around_a_refused_one_are_read() -> None:
    good = [transaction(raw_data={"tid": tid}) for tid in range(3)]
    batch = decoded(good[0], transaction(side="UP"), good[1], message("hyperliquid.transactions", b"x"), good[2])
    assert len(batch.rows["transactions"]) == 3
    assert len(batch.rejected) == 2


@pytest.mark.parametrize("ahead", [timedelta(0), MAX_CLOCK_SKEW - timedelta(microseconds=1), MAX_CLOCK_SKEW])
def test_up_to_ten_minutes_ahead_is_no_future(ahead: timedelta) -> None:
    assert the_row(transaction(block_timestamp=(NOW + ahead).isoformat())).block_timestamp == NOW + ahead


def test_future_is_measured_from_the_given_clock() -> None:
    at = datetime(2100, 1, 1, tzinfo=UTC)
    assert decoded(transaction(block_timestamp="2100-01-01T00:00:00Z"), now=at).rejected == []


def test_2020_is_the_first_year() -> None:
    assert the_row(transaction(block_timestamp="2020-01-01T00:00:00Z")).block_timestamp.year == 2020


@pytest.mark.parametrize("long, short", [("0.5", "0.5001"), ("0.4999", "0.5"), (0.5124, 0.4876), (1, 0), ("0", "1")])
def test_ratio_pair_within_tolerance_is_stored_normalised(long: Any, short: Any) -> None:
    row = the_row(ratio(long_ratio=long, short_ratio=short), "long_short_ratios")
    assert Decimal(bytes(row.long_ratio).decode()) + Decimal(bytes(row.short_ratio).decode()) == 1


@pytest.mark.parametrize("raw", [{"tid": 1.5}, {"tid": [1], "dir": 1}, {"side": {}, "dir": None}, {"tid": 0}])
def test_raw_data_of_unexpected_type_is_ignored(raw: dict[str, Any]) -> None:
    batch = decoded(transaction(raw_data=raw), transaction(raw_data=raw, size="2"))
    assert batch.rejected == []
    assert len(rows(batch)) == 2


def test_tid_and_venue_side_identify_a_fill() -> None:
    same = decoded(
        transaction(raw_data={"tid": 7, "side": "B"}),
        transaction(raw_data={"tid": "7", "side": "B"}, side="OPEN"),
        transaction(raw_data={"tid": 7, "side": "A"}),
    )
    assert len(rows(same)) == 2


@pytest.mark.parametrize("coin", ["BTC", "kPEPE", "@107", "PURR/USDC", "xyz:NVDA", "#123", "+123", "x" * 32])
def test_coin_names_of_the_venue_are_accepted(coin: str) -> None:
    assert the_row(transaction(coin=coin)).coin == coin


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-01T00:00Z", "2026-01-01T00:00:00.000000Z"),
        ("2026-01-01T05:30:00.123456789+05:30", "2026-01-01T00:00:00.123456Z"),
        ("2026-01-01T00:00:00+00", "2026-01-01T00:00:00.000000Z"),
        ("2026-01-01 00:00:00", "2026-01-01T00:00:00.000000Z"),
        ("2026-01-01t00:00:00,5z", "2026-01-01T00:00:00.500000Z"),
        ("2026-01-01", "2026-01-01T00:00:00.000000Z"),
        ("2026-01-01T23:59:59.9999999Z", "2026-01-01T23:59:59.999999Z"),
        ("2026-01-01T23:59:59.9999994Z", "2026-01-01T23:59:59.999999Z"),
        ("2026-01-01T23:59:60Z", "2026-01-01T23:59:59.000000Z"),
        ("2026-01-02T05:29:60.25+05:30", "2026-01-01T23:59:59.250000Z"),
    ],
)
def test_time_means_the_same_on_kafka_and_rest(text: str, expected: str) -> None:
    assert isoformat(the_row(transaction(block_timestamp=text)).block_timestamp) == expected
    assert isoformat(read_time(text)) == isoformat(read_time(text.replace("+", " "))) == expected


def test_time_in_two_precisions_is_one_fact() -> None:
    times = ("2026-01-01T23:59:59.9999999Z", "2026-01-01T23:59:59.999999Z")
    assert len(rows(decoded(*(transaction(block_timestamp=time) for time in times)))) == 1


def test_byte_order_mark_is_skipped() -> None:
    plain = transaction()
    marked = plain._replace(value=b"\xef\xbb\xbf" + (plain.value or b""))
    assert len(rows(decoded(plain, marked))) == 1


def test_size_and_alias_of_equal_value_agree() -> None:
    assert the_row(liquidation(size="0.5", price=None), "liquidations").liquidated_size == "0.50000000"


def test_unusual_raw_data_is_stored_unchanged() -> None:
    odd = b'{ "b":1e400 ,"a" : "\\u0000", "b": [1.0, {}] }'
    row = the_row(bare(odd, raw_data=BARE))
    assert bytes(row.raw_data) == odd


def test_summary_may_hold_both_sides_or_nothing() -> None:
    both = [{**position, "side": side} for side in ("LONG", "SHORT") for position in _positions()]
    assert len(json.loads(bytes(the_row(position_summary(positions=both), "position_summaries").positions))) == 2
    assert bytes(the_row(position_summary(positions=[]), "position_summaries").positions) == b"[]"


def _positions() -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = json.loads(position_summary().value or b"")["data"]["positions"]
    return data


# ---- numbers: every one that fits is read exactly, every other is refused ----


def admitted(text: str, digits: int, places: int, *, signed: bool) -> Decimal | None:
    """What Python's own Decimal makes of a number's text, or None where the column cannot hold it exactly."""
    if "_" in text or text != text.strip() or not text.isascii() or len(text) > 128:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    if not number.is_finite() or (number < 0 and not signed):
        return None
    if number and not -200 < number.adjusted() < 200:
        return None
    # The default context rounds to 28 digits.
    scaled = number.scaleb(places, Context(prec=400))
    fits = not number or (scaled == scaled.to_integral_value() and number.adjusted() < digits - places)
    return number if fits else None


plain = some.from_regex(r"\A[+-]?[0-9]{0,25}\.?[0-9]{0,10}([eE][+-]?[0-9]{1,3})?\Z")
near_the_edge = some.builds(
    lambda whole, places, shift: str(Decimal(whole).scaleb(-places - shift)) + f"e{shift}",
    some.integers(-(10**31), 10**31),
    some.integers(0, 10),
    some.integers(-5, 5),
)
anything = some.text(max_size=20)


@given(text=plain | near_the_edge | anything)
@example(text="9999999999999999999999.99999999")
@example(text="10000000000000000000000")
@example(text="0.00000001")
@example(text="0.000000010")
@example(text="-0")
@example(text="0e999999")
@example(text="1E+2")
def test_number_in_string_is_stored_exactly_or_rejected(text: str) -> None:
    for field, digits, places, signed in [("size", 30, 8, False), ("fee", 30, 8, True), ("leverage", 10, 2, False)]:
        _check_number(
            transaction(price="1", **{field: text}), field, admitted(text, digits, places, signed=signed), places
        )


json_numbers = some.from_regex(r"\A-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,10})?([eE][+-]?[0-9]{1,9})?\Z")


@given(literal=json_numbers)
@example(literal="0.00000001")
@example(literal="123456789.12345678")
@example(literal="9999999999999999999999.99999999")
@example(literal="1e-8")
@example(literal="0.1000000000000000055511151231257827")
@example(literal="18446744073709551616")
def test_a_bare_number_is_stored_exactly_or_refused(literal: str) -> None:
    for field, signed in [("size", False), ("fee", True)]:
        # An exponent of more digits than the contract's columns could ever use is refused unread.
        exponent = literal.lower().partition("e")[2].lstrip("+-")
        expected = admitted(literal, 30, 8, signed=signed) if len(exponent) <= 6 else None
        _check_number(bare(literal.encode(), transaction, **{"price": "1", field: BARE}), field, expected, 8)


def _check_number(built: KafkaMessage, field: str, expected: Decimal | None, places: int) -> None:
    batch = decoded(built)
    assert (batch.rejected == []) == (expected is not None), (field, expected, batch.rejected)
    for row in rows(batch):
        text = getattr(row, field)
        assert type(text) is str
        assert Decimal(text) == expected
        assert len(text.partition(".")[2]) == places


@given(size=some.decimals(0, 10**9, places=8), price=some.decimals(0, 10**9, places=8))
@example(size=Decimal("0.00000001"), price=Decimal("0.5"))
@example(size=Decimal("0.00000003"), price=Decimal("0.5"))
def test_missing_value_is_computed_and_rounded_half_even(size: Decimal, price: Decimal) -> None:
    built = liquidation(liquidated_size=f"{size:f}", liquidation_price=f"{price:f}", liquidation_value_usd=...)
    # In integers: a unit is 1e-8, so the product has 1e-16, and half of the last place is 5e7 of those.
    units, rest = divmod(int(size.scaleb(8)) * int(price.scaleb(8)), 10**8)
    units += rest > 5 * 10**7 or (rest == 5 * 10**7 and units % 2 == 1)
    assert Decimal(the_row(built, "liquidations").liquidation_value_usd) == Decimal(units).scaleb(-8)
