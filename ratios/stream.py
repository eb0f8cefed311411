"""What the ratios room stores and pushes."""

from ratios import events, models
from realtime.streams import Param, Stream, Topic, register

LONG_SHORT_RATIOS = register(
    Stream(
        name="long_short_ratios",
        frame_type="long_short_ratio",
        is_state=True,
        model=models.LongShortRatio,
        row=events.LongShortRatio,
        time="timestamp",
        identity=events.identity,
        fact=events.fact,
        reads={(Topic.COMPUTED_DATA, "LONG_SHORT_RATIO"): events.from_computed},
        params={Param.COINS: None},
    )
)
