"""What is asked of each endpoint. Each request has parameters of its own, drawn by an Asker."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import NamedTuple
from urllib.parse import urlencode

from hyperwatch.bench.sql.query_sampler import QuerySampler

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
# Which a value is above in one row of so many.
SELDOM = 1e-5
BEYOND_ALL = "1000000000000000"

Draw = Callable[[QuerySampler], Mapping[str, object]]


class BenchQuery(NamedTuple):
    """`path` may name parameters in braces, which are drawn as the others."""

    group: str
    name: str
    path: str
    draw: Draw

    def url(self, asker: QuerySampler) -> str:
        drawn = self.draw(asker)
        path = self.path.format(**drawn)
        query = {name: value for name, value in drawn.items() if f"{{{name}}}" not in self.path}
        return f"/api/v1{path}?{urlencode(query)}"


def _of(group: str, path: str, **draws: Draw) -> list[BenchQuery]:
    return [BenchQuery(group, name.replace("_", " "), path, draw) for name, draw in draws.items()]


def _page(ask: QuerySampler) -> Mapping[str, object]:
    return {"page": ask.dice.randint(1, 5)}


# The streams that a group's database is filled with.
GROUPS = {
    "lists": ("liquidations",),
    "stats": ("liquidations",),
    "recent": ("liquidations",),
    "ratios": ("long_short_ratios",),
    "maps": ("liquidation_map",),
    "transactions": ("transactions",),
    "positions": ("position_summaries",),
    "whales": ("whale_activities",),
    "coins": ("liquidations",),
}

QUERIES = [
    *_of(
        "lists",
        "/liquidations",
        first_page=_page,
        deep_page=lambda ask: {"page": ask.dice.randint(440, 450)},
        pages_of_100=lambda ask: {"page": ask.dice.randint(1, 5), "page_size": 100},
        first_by_cursor=lambda ask: {"cursor": "", "page_size": ask.dice.randint(10, 30)},
        deep_by_cursor=lambda ask: {"cursor": ask.cursor()},
        a_rare_coin=lambda ask: {"coin": ask.rare_coin()},
        a_coin=lambda ask: {"coin": ask.coin(), "page": ask.dice.randint(1, 2)},
        a_coin_deep_by_cursor=lambda ask: {"coin": ask.coin(), "cursor": ask.cursor()},
        a_coin_deep_page=lambda ask: {"coin": "C001", "page": ask.dice.randint(40, 50)},
        three_coins=lambda ask: {"coin": ask.coins()},
        three_coins_deep_by_cursor=lambda ask: {"coin": ask.coins(), "cursor": ask.cursor()},
        coin_and_side=lambda ask: {"coin": ask.coin(), "side": ask.side()},
        coin_and_window=lambda ask: {"coin": ask.coin(), **ask.window(longest=2 * DAY)},
        a_side=lambda ask: {"side": ask.side(), **_page(ask)},
        a_window=lambda ask: ask.window(longest=2 * DAY),
        an_idle_wallet=lambda ask: {"user_address": ask.idle_wallet()},
        a_busy_wallet=lambda ask: {"user_address": ask.busy_wallet()},
        a_busy_wallet_by_cursor=lambda ask: {"user_address": ask.busy_wallet(), "cursor": ""},
        user_and_coin=lambda ask: {"user_address": ask.busy_wallet(), "coin": ask.coin()},
        user_and_coin_by_cursor=lambda ask: {"user_address": ask.busy_wallet(), "coin": ask.coin(), "cursor": ""},
        user_and_rare_coin=lambda ask: {"user_address": ask.busy_wallet(), "coin": ask.rare_coin()},
        side_and_value=lambda ask: {"side": ask.side(), "min_value_usd": ask.value_above(0.01)},
        side_and_value_by_cursor=lambda ask: {"side": ask.side(), "min_value_usd": ask.value_above(0.01), "cursor": ""},
        a_rare_value=lambda ask: {"min_value_usd": ask.value_above(SELDOM)},
        a_rare_value_by_cursor=lambda ask: {"min_value_usd": ask.value_above(SELDOM), "cursor": ""},
        coin_and_rare_value=lambda ask: {"coin": ask.coin(), "min_value_usd": ask.value_above(SELDOM)},
        nobody_of_that_address=lambda ask: {"user_address": ask.stranger()},
        nothing_of_that_value=lambda ask: {"side": ask.side(), "min_value_usd": BEYOND_ALL},
    ),
    *_of(
        "stats",
        "/liquidations/stats",
        all=lambda ask: {},
        a_coin=lambda ask: {"coin": ask.coin()},
        three_coins=lambda ask: {"coin": ask.coins()},
        days=lambda ask: ask.window(DAY),
        ragged_window=lambda ask: ask.window(),
        ragged_hours=lambda ask: ask.window(longest=HOUR),
        coin_and_ragged_window=lambda ask: {"coin": ask.coin(), **ask.window()},
    ),
    *_of(
        "recent",
        "/liquidations/recent",
        all=lambda ask: {"limit": ask.dice.randint(1, 100)},
        a_coin=lambda ask: {"coin": ask.coin(), "limit": ask.dice.randint(1, 100)},
        a_value=lambda ask: {"min_value_usd": ask.value_above(0.01)},
    ),
    *_of(
        "ratios",
        "/long-short-ratios/current",
        current=lambda ask: {},
        current_of_a_coin=lambda ask: {"coin": ask.state_coin()},
    ),
    *[
        question
        for interval in ("1m", "5m", "15m", "1h", "1d")
        for question in _of(
            "ratios",
            "/long-short-ratios/history",
            **{
                f"history_by_{interval}": lambda ask, by=interval: {"coin": ask.state_coin(), "interval": by},
                f"history_by_{interval}_in_a_window": lambda ask, by=interval: {
                    "coin": ask.state_coin(),
                    "interval": by,
                    "start_time": ask.lately(3 * DAY),
                },
            },
        )
    ],
    *_of(
        "maps",
        "/liquidation-map",
        newest=lambda ask: {"coin": ask.map_coin()},
        at_a_time=lambda ask: {"coin": ask.map_coin(), "timestamp": ask.lately(HOUR / 4)},
        of_prices=lambda ask: {"coin": ask.map_coin(), "price_range": f"0,{ask.dice.randint(1, 100_000)}"},
    ),
    *_of(
        "transactions",
        "/transactions",
        first_page=_page,
        deep_page=lambda ask: {"page": ask.dice.randint(440, 450)},
        deep_by_cursor=lambda ask: {"cursor": ask.cursor("transactions")},
        a_coin=lambda ask: {"coin": ask.coin(), "page": ask.dice.randint(1, 2)},
        a_busy_wallet=lambda ask: {"user_address": ask.busy_wallet()},
        an_idle_wallet=lambda ask: {"user_address": ask.idle_wallet()},
        a_type=lambda ask: {"tx_type": ask.dice.choice(("DEPOSIT", "LIQUIDATION"))},
        a_type_by_cursor=lambda ask: {"tx_type": ask.dice.choice(("DEPOSIT", "LIQUIDATION")), "cursor": ""},
        no_such_type=lambda ask: {"tx_type": "WITHDRAW", "side": ask.side()},
        of_a_hash=lambda ask: {"tx_hash": ask.tx_hash()},
    ),
    *_of("transactions", "/transactions/{tx_hash}", one=lambda ask: {"tx_hash": ask.tx_hash()}),
    *_of(
        "positions",
        "/positions",
        all=lambda ask: {},
        of_a_coin=lambda ask: {"coin": ask.state_coin()},
        of_a_user=lambda ask: {"user_address": ask.busy_wallet()},
    ),
    *_of(
        "whales",
        "/whales/{whale_id}/activities",
        first_page=lambda ask: {"whale_id": ask.whale(), "page": ask.dice.randint(1, 3)},
        deep_by_cursor=lambda ask: {"whale_id": ask.whale(), "cursor": ask.cursor("whale_activities")},
        a_type=lambda ask: {"whale_id": ask.whale(), "activity_type": ask.dice.choice(("OPEN", "LARGE_TRADE"))},
        a_window=lambda ask: {"whale_id": ask.whale(), **ask.window(longest=2 * DAY)},
    ),
    *_of("whales", "/whales", all=lambda ask: {}),
    *_of("coins", "/coins", all=lambda ask: {}),
]
