"""What the liquidations room stores and pushes."""

from liquidations import events, models
from realtime.streams import Param, Stream, Topic, register

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
        params=frozenset({Param.COINS, Param.SIDE, Param.MIN_VALUE_USD}),
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
        params=frozenset({Param.COINS}),
        required_params=frozenset({Param.COINS}),
    )
)
