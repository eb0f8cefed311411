"""What the transactions room stores and pushes."""

from hyperwatch.formats import TransactionSide
from realtime.streams import Param, Stream, Topic, register
from transactions import events, models

TRANSACTIONS = register(
    Stream(
        name="transactions",
        frame_type="transaction",
        is_state=False,
        model=models.Transaction,
        row=events.Transaction,
        time="block_timestamp",
        identity=events.identity,
        fact=events.fact,
        reads={(Topic.TRANSACTIONS, None): events.from_transaction},
        params={
            Param.COINS: None,
            Param.USER_ADDRESSES: None,
            Param.TX_TYPES: events.TransactionType,
            Param.SIDE: TransactionSide,
            Param.MIN_VALUE_USD: None,
        },
    )
)

POSITION_SUMMARIES = register(
    Stream(
        name="position_summaries",
        frame_type=None,
        is_state=True,
        model=models.PositionSummary,
        row=events.PositionSummary,
        time="timestamp",
        identity=events.summary_identity,
        fact=events.summary_fact,
        reads={(Topic.COMPUTED_DATA, "POSITION_SUMMARY"): events.from_summary},
        passengers={"positions": "json"},
        then="""
INSERT INTO positions (
    user_address, coin, side, size, entry_price, mark_price, leverage, margin, unrealized_pnl, timestamp
)
SELECT p.user_address, i.coin, p.side, p.size, p.entry_price, p.mark_price, p.leverage, p.margin,
       p.unrealized_pnl, i.timestamp
FROM incoming_position_summaries i
JOIN stored s ON s.stream = 'position_summaries' AND s.ord = i.ord AND s.seq > 0,
json_to_recordset(i.positions) AS p(
    user_address text, side text, size numeric, entry_price numeric, mark_price numeric,
    leverage numeric, margin numeric, unrealized_pnl numeric
)""",
    )
)
