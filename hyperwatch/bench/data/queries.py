"""The queries of each endpoint. Each request has its own parameters, from a QuerySampler."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import NamedTuple
from urllib.parse import urlencode

from hyperwatch.bench.sql.query_sampler import QuerySampler

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
# The share of rows with a rare value.
RARE_SHARE = 1e-5
UNREACHED_VALUE = "1000000000000000"

ParamsFactory = Callable[[QuerySampler], Mapping[str, object]]


class BenchQuery(NamedTuple):
    """`path` may contain parameters in braces."""

    group: str
    name: str
    path: str
    params: ParamsFactory

    def url(self, sampler: QuerySampler) -> str:
        params = self.params(sampler)
        path = self.path.format(**params)
        query_params = {name: value for name, value in params.items() if f"{{{name}}}" not in self.path}
        return f"/api/v1{path}?{urlencode(query_params)}"


def _of(group: str, path: str, **factories: ParamsFactory) -> list[BenchQuery]:
    return [BenchQuery(group, name.replace("_", " "), path, params) for name, params in factories.items()]


def _first_pages(draw: QuerySampler) -> Mapping[str, object]:
    return {"page": draw.rng.randint(1, 5)}


# The streams with which the database of a group is filled.
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
        first_page=_first_pages,
        deep_page=lambda draw: {"page": draw.rng.randint(440, 450)},
        pages_of_100=lambda draw: {"page": draw.rng.randint(1, 5), "page_size": 100},
        first_by_cursor=lambda draw: {"cursor": "", "page_size": draw.rng.randint(10, 30)},
        deep_by_cursor=lambda draw: {"cursor": draw.cursor()},
        a_rare_coin=lambda draw: {"coin": draw.rare_coin()},
        a_coin=lambda draw: {"coin": draw.coin(), "page": draw.rng.randint(1, 2)},
        a_coin_deep_by_cursor=lambda draw: {"coin": draw.coin(), "cursor": draw.cursor()},
        a_coin_deep_page=lambda draw: {"coin": "C001", "page": draw.rng.randint(40, 50)},
        three_coins=lambda draw: {"coin": draw.coins()},
        three_coins_deep_by_cursor=lambda draw: {"coin": draw.coins(), "cursor": draw.cursor()},
        coin_and_side=lambda draw: {"coin": draw.coin(), "side": draw.side()},
        coin_and_window=lambda draw: {"coin": draw.coin(), **draw.window(longest=2 * DAY)},
        a_side=lambda draw: {"side": draw.side(), **_first_pages(draw)},
        a_window=lambda draw: draw.window(longest=2 * DAY),
        an_idle_wallet=lambda draw: {"user_address": draw.idle_wallet()},
        a_busy_wallet=lambda draw: {"user_address": draw.busy_wallet()},
        a_busy_wallet_by_cursor=lambda draw: {"user_address": draw.busy_wallet(), "cursor": ""},
        user_and_coin=lambda draw: {"user_address": draw.busy_wallet(), "coin": draw.coin()},
        user_and_coin_by_cursor=lambda draw: {"user_address": draw.busy_wallet(), "coin": draw.coin(), "cursor": ""},
        user_and_rare_coin=lambda draw: {"user_address": draw.busy_wallet(), "coin": draw.rare_coin()},
        side_and_value=lambda draw: {"side": draw.side(), "min_value_usd": draw.value_above(0.01)},
        side_and_value_by_cursor=lambda draw: {
            "side": draw.side(),
            "min_value_usd": draw.value_above(0.01),
            "cursor": "",
        },
        a_rare_value=lambda draw: {"min_value_usd": draw.value_above(RARE_SHARE)},
        a_rare_value_by_cursor=lambda draw: {"min_value_usd": draw.value_above(RARE_SHARE), "cursor": ""},
        coin_and_rare_value=lambda draw: {"coin": draw.coin(), "min_value_usd": draw.value_above(RARE_SHARE)},
        unknown_address=lambda draw: {"user_address": draw.unknown_wallet()},
        nothing_of_that_value=lambda draw: {"side": draw.side(), "min_value_usd": UNREACHED_VALUE},
    ),
    *_of(
        "stats",
        "/liquidations/stats",
        all=lambda draw: {},
        a_coin=lambda draw: {"coin": draw.coin()},
        three_coins=lambda draw: {"coin": draw.coins()},
        days=lambda draw: draw.window(DAY),
        ragged_window=lambda draw: draw.window(),
        ragged_hours=lambda draw: draw.window(longest=HOUR),
        coin_and_ragged_window=lambda draw: {"coin": draw.coin(), **draw.window()},
    ),
    *_of(
        "recent",
        "/liquidations/recent",
        all=lambda draw: {"limit": draw.rng.randint(1, 100)},
        a_coin=lambda draw: {"coin": draw.coin(), "limit": draw.rng.randint(1, 100)},
        a_value=lambda draw: {"min_value_usd": draw.value_above(0.01)},
    ),
    *_of(
        "ratios",
        "/long-short-ratios/current",
        current=lambda draw: {},
        current_of_a_coin=lambda draw: {"coin": draw.state_coin()},
    ),
    *[
        query
        for interval in ("1m", "5m", "15m", "1h", "1d")
        for query in _of(
            "ratios",
            "/long-short-ratios/history",
            **{
                f"history_by_{interval}": lambda draw, by=interval: {"coin": draw.state_coin(), "interval": by},
                f"history_by_{interval}_in_a_window": lambda draw, by=interval: {
                    "coin": draw.state_coin(),
                    "interval": by,
                    "start_time": draw.recent_time(3 * DAY),
                },
            },
        )
    ],
    *_of(
        "maps",
        "/liquidation-map",
        newest=lambda draw: {"coin": draw.map_coin()},
        at_a_time=lambda draw: {"coin": draw.map_coin(), "timestamp": draw.recent_time(HOUR / 4)},
        of_prices=lambda draw: {"coin": draw.map_coin(), "price_range": f"0,{draw.rng.randint(1, 100_000)}"},
    ),
    *_of(
        "transactions",
        "/transactions",
        first_page=_first_pages,
        deep_page=lambda draw: {"page": draw.rng.randint(440, 450)},
        deep_by_cursor=lambda draw: {"cursor": draw.cursor("transactions")},
        a_coin=lambda draw: {"coin": draw.coin(), "page": draw.rng.randint(1, 2)},
        a_busy_wallet=lambda draw: {"user_address": draw.busy_wallet()},
        an_idle_wallet=lambda draw: {"user_address": draw.idle_wallet()},
        a_type=lambda draw: {"tx_type": draw.rng.choice(("DEPOSIT", "LIQUIDATION"))},
        a_type_by_cursor=lambda draw: {"tx_type": draw.rng.choice(("DEPOSIT", "LIQUIDATION")), "cursor": ""},
        no_such_type=lambda draw: {"tx_type": "WITHDRAW", "side": draw.side()},
        of_a_hash=lambda draw: {"tx_hash": draw.tx_hash()},
    ),
    *_of("transactions", "/transactions/{tx_hash}", one=lambda draw: {"tx_hash": draw.tx_hash()}),
    *_of(
        "positions",
        "/positions",
        all=lambda draw: {},
        of_a_coin=lambda draw: {"coin": draw.state_coin()},
        of_a_user=lambda draw: {"user_address": draw.busy_wallet()},
    ),
    *_of(
        "whales",
        "/whales/{whale_id}/activities",
        first_page=lambda draw: {"whale_id": draw.whale(), "page": draw.rng.randint(1, 3)},
        deep_by_cursor=lambda draw: {"whale_id": draw.whale(), "cursor": draw.cursor("whale_activities")},
        a_type=lambda draw: {"whale_id": draw.whale(), "activity_type": draw.rng.choice(("OPEN", "LARGE_TRADE"))},
        a_window=lambda draw: {"whale_id": draw.whale(), **draw.window(longest=2 * DAY)},
    ),
    *_of("whales", "/whales", all=lambda draw: {}),
    *_of("coins", "/coins", all=lambda draw: {}),
]
