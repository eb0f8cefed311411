"""Stream of long/short ratios."""

from ratios import events, models
from realtime.streams import Param, Stream, TopicName, register

LONG_SHORT_RATIOS = register(
    Stream(
        name="long_short_ratios",
        frame_type="long_short_ratio",
        is_state=True,
        model=models.LongShortRatio,
        row=events.LongShortRatioRow,
        time="timestamp",
        identity=events.identity,
        fact=events.fact,
        sources={(TopicName.COMPUTED_DATA, "LONG_SHORT_RATIO"): events.from_computed},
        params={Param.COINS: None},
    )
)
