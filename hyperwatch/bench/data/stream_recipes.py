"""Column expressions of each filled stream over the rows of `distributions.rows_sql`, and the number of rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hyperwatch.bench.data.distributions import END, FIRST_BLOCK

# Coins with ratios and summaries, and coins with maps.
RATIO_COINS, MAP_COINS = 200, 50
PRICE_LEVELS = 100
POSITIONS_PER_SUMMARY = 50
WHALES = 10
FILLS_PER_TRANSACTION = 3

LIQUIDATOR_SQL = "'0x' || md5('liquidator ' || n % 50) || '00000000'"
PRICE_LEVEL_SQL = """json_build_object('price', round(price * (0.5 + l / 100.0), 8)::text,
'long_liquidation_value', round(value * l, 8)::text, 'short_liquidation_value', round(value / l, 8)::text,
'long_liquidation_count', l, 'short_liquidation_count', 100 - l)"""


@dataclass(frozen=True)
class StreamRecipe:
    """SQL of one stream, with the placeholders `{seed}` and `{rows}`; `per_row` is the ratio of its rows to the size.

    `after_fill_sql` is one more statement after the rows; `extra_tables` are those that it fills.
    """

    stream: str
    columns: Mapping[str, str]
    per_row: float = 1.0
    after_fill_sql: str = ""
    extra_tables: tuple[str, ...] = field(default=())

    def rows(self, size: int) -> int:
        return max(int(size * self.per_row), RATIO_COINS)


def _state_columns(coins: int, minutes: int) -> dict[str, str]:
    """Coin and time of a state that all coins publish every `minutes`; the last is at `END`."""
    return {
        "coin": f"'C' || lpad((n % {coins} + 1)::text, 3, '0')",
        "timestamp": f"'{END:%Y-%m-%d %H:%M}+00'::timestamptz - make_interval(mins => (({{rows}} - n) / {coins} "
        f"* {minutes})::int)",
    }


def _tx_hash_sql(number: str) -> str:
    """The same as `distributions.tx_hash`."""
    block = f"'04' || lpad(to_hex({FIRST_BLOCK} + {number}), 8, '0') || '02020000'"
    return f"'0x' || left(md5('{{seed}} ' || {number}), 20) || {block} || left(md5({number} || ' {{seed}}'), 26)"


TRADE_COLUMNS = {
    "block_number": f"{FIRST_BLOCK} + n",
    "block_timestamp": "time",
    "user_address": "wallet",
    "coin": "coin",
    "leverage": "20",
    "margin": "round(value / 20, 8)",
    "raw_data": """('{{"tid":' || n || '}}')::json""",
}

RECIPES = {
    recipe.stream: recipe
    for recipe in (
        StreamRecipe(
            "liquidations",
            {
                **TRADE_COLUMNS,
                "tx_hash": _tx_hash_sql("n"),
                "side": "CASE WHEN dice < 0.6 THEN 'LONG' ELSE 'SHORT' END",
                "liquidated_size": "round(value / price, 8)",
                "liquidation_price": "price",
                "liquidation_value_usd": "value",
                "liquidator_address": LIQUIDATOR_SQL,
            },
        ),
        StreamRecipe(
            "transactions",
            {
                **TRADE_COLUMNS,
                "tx_hash": _tx_hash_sql(f"n / {FILLS_PER_TRANSACTION}"),
                "side": "(ARRAY['LONG', 'SHORT', 'OPEN', 'CLOSE'])[1 + floor(dice * 4)::int]",
                "size": "round(value / price, 8)",
                "price": "price",
                "fee": "round(value / 4000, 8)",
                "tx_type": "CASE WHEN n % 1000 = 0 THEN 'LIQUIDATION' WHEN n % 200 = 1 THEN 'DEPOSIT' ELSE 'ORDER' END",
            },
        ),
        StreamRecipe(
            "long_short_ratios",
            {
                **_state_columns(RATIO_COINS, 1),
                "long_ratio": "round(dice::numeric, 4)",
                "short_ratio": "1 - round(dice::numeric, 4)",
                "long_position_value": "value",
                "short_position_value": "value",
                "total_position_value": "2 * value",
                "long_accounts": "n % 1000",
                "short_accounts": "n % 900",
            },
        ),
        StreamRecipe(
            "liquidation_map",
            {
                **_state_columns(MAP_COINS, 5),
                "price_levels": f"(SELECT json_agg({PRICE_LEVEL_SQL}) FROM generate_series(1, {PRICE_LEVELS}) l)",
            },
            per_row=0.001,
        ),
        StreamRecipe(
            "position_summaries",
            _state_columns(RATIO_COINS, 1),
            per_row=0.001,
            after_fill_sql=f"""
INSERT INTO positions (coin, timestamp, user_address, side, size, entry_price, mark_price, leverage, margin,
                       unrealized_pnl)
SELECT coin, timestamp, '0x' || md5('wallet ' || w) || lpad(to_hex(w), 8, '0'), 'LONG', p, 100, 101, 20, 5, p
FROM (SELECT s.*, p, (p * 1000 + s.id % 1000)::int AS w
      FROM position_summaries s, generate_series(0, {POSITIONS_PER_SUMMARY - 1}) p
) held""",
            extra_tables=("positions",),
        ),
        StreamRecipe(
            "whale_activities",
            {
                "whale_id": f"1 + floor(dice * {WHALES})",
                "alias": "'whale'",
                "wallet_address": "wallet",
                "activity_type": "(ARRAY['OPEN', 'CLOSE', 'LARGE_TRADE', 'LIQUIDATION'])[1 + n % 4]",
                "tx_hash": _tx_hash_sql("n"),
                "coin": "coin",
                "size": "round(value / price, 8)",
                "value_usd": "value",
                "timestamp": "time",
                "details": """'{{"side":"LONG","price":"1.00000000","dir":null}}'::json""",
            },
            per_row=0.1,
            after_fill_sql=f"""
INSERT INTO whale_watches (id, wallet_address, alias, description, is_active, created_at, updated_at)
SELECT w, '0x' || md5('wallet ' || w) || lpad(to_hex(w), 8, '0'), 'whale', '', true, now(), now()
FROM generate_series(1, {WHALES + 1}) w""",
        ),
    )
}
