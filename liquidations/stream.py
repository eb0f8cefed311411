"""Streams of liquidations and liquidation maps."""

from hyperwatch.formats import Side
from liquidations import events, models
from realtime.streams import Param, RollupSpec, Stream, TopicName, register

LIQUIDATIONS = register(
    Stream(
        name="liquidations",
        frame_type="liquidation",
        is_state=False,
        model=models.Liquidation,
        row=events.LiquidationRow,
        time="block_timestamp",
        identity=events.identity,
        fact=events.fact,
        sources={
            (TopicName.COMPUTED_DATA, "LIQUIDATION"): events.from_computed,
            (TopicName.TRANSACTIONS, None): events.from_transaction,
        },
        params={Param.COINS: None, Param.SIDE: Side, Param.MIN_VALUE_USD: None},
        columns={"side": "side", "value": "liquidation_value_usd"},
        rollup=RollupSpec("side", Side, "liquidation_value_usd"),
    )
)

LIQUIDATION_MAP = register(
    Stream(
        name="liquidation_map",
        frame_type="liquidation_map",
        is_state=True,
        model=models.LiquidationMap,
        row=events.LiquidationMapRow,
        time="timestamp",
        identity=events.map_identity,
        fact=events.map_fact,
        sources={(TopicName.COMPUTED_DATA, "LIQUIDATION_MAP"): events.from_map},
        params={Param.COINS: None},
        required=frozenset({Param.COINS}),
    )
)
