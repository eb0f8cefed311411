"""Annotated types of output fields: at run time plain Python types without checks, in the documents schemas."""

from datetime import datetime
from typing import Annotated, Any, NamedTuple

from msgspec import Meta

from hyperwatch.formats import AMOUNT, LEVERAGE, SIGNED_AMOUNT

TIME_SCHEMA = {
    "format": "date-time",
    "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$",
    "description": "time in UTC",
    "examples": ["2026-01-10T10:30:00.000000Z"],
}


def _text_schema(pattern: str, description: str, example: str) -> dict[str, Any]:
    return {"pattern": pattern, "description": description, "examples": [example]}


AMOUNT_TEXT = _text_schema(AMOUNT.pattern, "decimal with 8 places", "45000.50000000")
SIGNED_TEXT = _text_schema(SIGNED_AMOUNT.pattern, "decimal with 8 places, may be negative", "-1.25000000")
LEVERAGE_TEXT = _text_schema(LEVERAGE.pattern, "decimal with 2 places", "10.00")
ADDRESS_TEXT = _text_schema("^0x[0-9a-f]{40}$", "address", "0x49f3000000000000000000000000000000008d2b")
HASH_TEXT = _text_schema("^0x[0-9a-f]{64}$", "hash", "0x" + "c3" * 32)
COIN_TEXT = _text_schema("^[!-+.-~-]{1,32}$", "coin, as the exchange spells it", "BTC")

Time = Annotated[datetime, Meta(extra_json_schema={"type": "string", **TIME_SCHEMA})]
TimeText = Annotated[str, Meta(extra_json_schema=TIME_SCHEMA)]
AmountText = Annotated[str, Meta(extra_json_schema=AMOUNT_TEXT)]
SignedText = Annotated[str, Meta(extra_json_schema=SIGNED_TEXT)]
LeverageText = Annotated[str, Meta(extra_json_schema=LEVERAGE_TEXT)]
AddressText = Annotated[str, Meta(extra_json_schema=ADDRESS_TEXT)]
HashText = Annotated[str, Meta(extra_json_schema=HASH_TEXT)]
CoinText = Annotated[str, Meta(extra_json_schema=COIN_TEXT)]
RatioNumber = Annotated[float, Meta(ge=0, le=1, description="number with 4 places", examples=[0.5])]
Number = Annotated[int, Meta(ge=1, le=2**63 - 1, examples=[1234])]
Count = Annotated[int, Meta(ge=0)]
Head = Annotated[int, Meta(ge=0, examples=[1234])]


class JsonOf(NamedTuple):
    """Annotation of a field with encoded JSON (`msgspec.Raw`): the type of the JSON."""

    type: Any
