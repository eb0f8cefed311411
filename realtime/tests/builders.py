"""One builder for each message of the contract, with keyword overrides, and the shortest way into the store.

An override of `...` leaves the field out.
"""

import itertools
import json
from datetime import UTC, datetime
from typing import Any

from django.conf import settings

from realtime.ingest.decoder import decode_batch
from realtime.ingest.writer import BatchWriter
from realtime.kafka.consumer import KafkaMessage
from realtime.storage.records import StoredRows

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
TIME = "2026-01-10T10:30:00.000000Z"
WALLET = "0x" + "a1" * 20
OTHER_WALLET = "0x" + "b2" * 20
HASH = "0x" + "c3" * 32

_offsets = itertools.count()


def message(topic: str, value: bytes | None, key: str = "key", timestamp_ms: int = 0) -> KafkaMessage:
    return KafkaMessage(topic, 0, next(_offsets), key.encode(), value, timestamp_ms)


def on_transactions(value: dict[str, Any]) -> KafkaMessage:
    return message(settings.KAFKA_TOPIC_TRANSACTIONS, json.dumps(value).encode())


def computed(data_type: str, data: dict[str, Any], *, coin: str = "BTC", timestamp: str = TIME) -> KafkaMessage:
    value = {"data_type": data_type, "coin": coin, "timestamp": timestamp, "data": data}
    return message(settings.KAFKA_TOPIC_COMPUTED_DATA, json.dumps(value).encode())


def transaction(**overrides: Any) -> KafkaMessage:
    fields = {
        "tx_hash": HASH,
        "block_number": 1,
        "block_timestamp": TIME,
        "user_address": WALLET,
        "coin": "BTC",
        "side": "LONG",
        "size": "0.50000000",
        "price": "45000.50000000",
        "leverage": "10.00",
        "margin": "2250.02500000",
        "fee": "-1.25000000",
        "tx_type": "ORDER",
        "raw_data": {"tid": 1, "dir": "Open Long"},
    }
    return on_transactions(_with(fields, overrides))


def liquidation(**overrides: Any) -> KafkaMessage:
    fields = {
        "tx_hash": HASH,
        "block_number": 1,
        "block_timestamp": TIME,
        "user_address": WALLET,
        "coin": "BTC",
        "side": "LONG",
        "liquidated_size": "0.50000000",
        "liquidation_price": "45000.50000000",
        "liquidation_value_usd": "22500.25000000",
        "leverage": "10.00",
        "margin": "2250.02500000",
        "liquidator_address": OTHER_WALLET,
        "raw_data": {"tid": 1},
    }
    data = _with(fields, overrides)
    time = data.get("block_timestamp", TIME)
    return computed("LIQUIDATION", data, coin=data.get("coin", "BTC"), timestamp=time)


def ratio(coin: str = "BTC", timestamp: str = TIME, **overrides: Any) -> KafkaMessage:
    fields = {
        "long_ratio": 0.5124,
        "short_ratio": 0.4876,
        "long_position_value": "91374.54465000",
        "short_position_value": "86955.70298000",
        "total_position_value": "178330.24763000",
        "long_accounts": 3,
        "short_accounts": 6,
    }
    return computed("LONG_SHORT_RATIO", _with(fields, overrides), coin=coin, timestamp=timestamp)


def level(price: Any, **overrides: Any) -> dict[str, Any]:
    fields = {
        "price": price,
        "long_liquidation_value": "1000.00000000",
        "short_liquidation_value": "0.00000000",
        "long_liquidation_count": 1,
        "short_liquidation_count": 0,
    }
    return _with(fields, overrides)


def liquidation_map(coin: str = "BTC", timestamp: str = TIME, levels: Any = None) -> KafkaMessage:
    levels = [level("44000"), level("46000.5")] if levels is None else levels
    return computed("LIQUIDATION_MAP", {"price_levels": levels}, coin=coin, timestamp=timestamp)


def position(**overrides: Any) -> dict[str, Any]:
    fields = {
        "user_address": WALLET,
        "side": "LONG",
        "size": "0.50000000",
        "entry_price": "45000.00000000",
        "mark_price": "45100.00000000",
        "leverage": "10.00",
        "margin": "2250.00000000",
        "unrealized_pnl": "50.00000000",
    }
    return _with(fields, overrides)


def position_summary(coin: str = "BTC", timestamp: str = TIME, positions: Any = None) -> KafkaMessage:
    positions = [position()] if positions is None else positions
    return computed("POSITION_SUMMARY", {"positions": positions}, coin=coin, timestamp=timestamp)


def stored(*messages: KafkaMessage, now: datetime = NOW) -> list[StoredRows]:
    """Stores messages as the consumer does, commits, and returns the new rows."""
    return BatchWriter().write(decode_batch(messages, now))


def _with(fields: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**fields, **overrides}.items() if value is not ...}
