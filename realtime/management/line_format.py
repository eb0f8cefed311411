"""Formats facts as lines of text, for `tail`.

FORMATTERS chooses the fields of each channel; other channels print all scalar fields.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from hyperwatch.terminal import escape_controls

Data = Mapping[str, Any]


def format_fact(channel: str, seq: int, time: str, data: Data) -> str:
    """One line without the newline: time, channel, seq, coin, and the channel's fields."""
    formatter = FORMATTERS.get(channel, _other)
    line = f"{_time(time)}  {channel} #{seq}  {data.get('coin') or '-':<8} {formatter(data)}"
    return escape_controls(line)


def _liquidation(data: Data) -> str:
    return (
        f"{_text(data['side']):<5} {_number(data['liquidated_size'])} at {_number(data['liquidation_price'])}"
        f"  {_usd(data['liquidation_value_usd'])}  {_text(data['user_address'])}"
    )


def _transaction(data: Data) -> str:
    return (
        f"{_text(data['side']):<5} {_text(data['tx_type'])} {_number(data['size'])} at {_number(data['price'])}"
        f"  {_text(data['user_address'])}"
    )


def _ratio(data: Data) -> str:
    return (
        f"long {_number(data['long_ratio'])} short {_number(data['short_ratio'])}"
        f"  {_usd(data['total_position_value'])}  accounts {data['long_accounts']} to {data['short_accounts']}"
    )


def _activity(data: Data) -> str:
    whale = data["alias"] or data["wallet_address"]
    return f"{_text(data['activity_type'])} {_number(data['size'])}  {_usd(data['value_usd'])}  {whale}"


def _map(data: Data) -> str:
    prices = [level["price"] for level in data["price_levels"]]
    price_range = f" from {_number(prices[0])} to {_number(prices[-1])}" if prices else ""
    return f"{len(prices)} levels{price_range}"


def _other(data: Data) -> str:
    scalars = {name: value for name, value in data.items() if not isinstance(value, (dict, list))}
    return " ".join(f"{name}={_text(value)}" for name, value in scalars.items() if name not in ("seq", "coin"))


FORMATTERS: dict[str, Callable[[Data], str]] = {
    "liquidations": _liquidation,
    "transactions": _transaction,
    "long_short_ratios": _ratio,
    "whale_activities": _activity,
    "liquidation_map": _map,
}


def _time(time: str) -> str:
    """`2026-01-10T10:30:00.5Z` as `2026-01-10 10:30:00`; always UTC."""
    return time[:19].replace("T", " ")


def _text(value: Any) -> str:
    return "-" if value is None else str(value)


def _number(value: Any) -> str:
    """Exact, without trailing zeros, with thousands separators: `45,000.5`."""
    try:
        whole, _, places = f"{Decimal(str(value)):,f}".partition(".")
    except InvalidOperation:
        return _text(value)
    return f"{whole}.{places}".rstrip("0").rstrip(".") if places else whole


def _usd(value: Any) -> str:
    return "-" if value is None else f"{Decimal(value):,.2f} USD"
