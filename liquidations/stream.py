"""What the liquidations room stores and pushes."""

from hyperwatch.formats import Side
from liquidations import events, models
from realtime.streams import Counted, Param, Stream, Topic, register

LIQUIDATIONS = register(
    Stream(
        name="liquidations",
        frame_type="liquidation",
        is_state=False,
        model=models.Liquidation,
        row=events.Liquidation,
        time="block_timestamp",
        identity=events.identity,
        fact=events.fact,
        reads={
            (Topic.COMPUTED_DATA, "LIQUIDATION"): events.from_computed,
            (Topic.TRANSACTIONS, None): events.from_transaction,
        },
        params={Param.COINS: None, Param.SIDE: Side, Param.MIN_VALUE_USD: None},
        columns={"side": "side", "value": "liquidation_value_usd"},
        counted=Counted("side", Side, "liquidation_value_usd"),
    )
)

LIQUIDATION_MAP = register(
    Stream(
        name="liquidation_map",
        frame_type="liquidation_map",
        is_state=True,
        model=models.LiquidationMap,
        row=events.LiquidationMap,
        time="timestamp",
        identity=events.map_identity,
        fact=events.map_fact,
        reads={(Topic.COMPUTED_DATA, "LIQUIDATION_MAP"): events.from_map},
        params={Param.COINS: None},
        required=frozenset({Param.COINS}),
    )
)
