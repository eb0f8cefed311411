"""Streams of transactions and position summaries."""

from django.db.models import F

from hyperwatch.formats import TransactionSide
from realtime.streams import Param, RollupSpec, Stream, TopicName, register
from transactions import events, models

TRANSACTIONS = register(
    Stream(
        name="transactions",
        frame_type="transaction",
        is_state=False,
        model=models.Transaction,
        row=events.TransactionRow,
        time="block_timestamp",
        identity=events.identity,
        fact=events.fact,
        sources={(TopicName.TRANSACTIONS, None): events.from_transaction},
        params={
            Param.COINS: None,
            Param.USER_ADDRESSES: None,
            Param.TX_TYPES: events.TransactionType,
            Param.SIDE: TransactionSide,
            Param.MIN_VALUE_USD: None,
        },
        columns={
            "side": "side",
            "address": "user_address",
            "kind": "tx_type",
            "value": F("size") * F("price"),
        },
        rollup=RollupSpec("side", TransactionSide),
    )
)

POSITION_COLUMNS = "user_address, side, size, entry_price, mark_price, leverage, margin, unrealized_pnl"
INCOMING_POSITIONS = """json_to_recordset(i.positions) AS p(
    user_address text, side text, size numeric, entry_price numeric, mark_price numeric,
    leverage numeric, margin numeric, unrealized_pnl numeric
)"""
KNOWN_POSITIONS = "FROM positions p WHERE p.coin = t.coin AND p.timestamp = t.timestamp"

POSITION_SUMMARIES = register(
    Stream(
        name="position_summaries",
        frame_type=None,
        is_state=True,
        model=models.PositionSummary,
        row=events.PositionSummaryRow,
        time="timestamp",
        identity=events.summary_identity,
        fact=events.summary_fact,
        sources={(TopicName.COMPUTED_DATA, "POSITION_SUMMARY"): events.from_summary},
        extra_columns={"positions": "json"},
        after_insert=f"""
INSERT INTO positions (coin, timestamp, {POSITION_COLUMNS})
SELECT i.coin, i.timestamp, {POSITION_COLUMNS} FROM incoming_position_summaries i
JOIN stored s ON s.stream = 'position_summaries' AND s.ord = i.ord AND s.seq > 0, {INCOMING_POSITIONS}""",
        conflict_check=f"""(
    json_array_length(i.positions) <> (SELECT count(*) {KNOWN_POSITIONS})
    OR EXISTS (SELECT {POSITION_COLUMNS} FROM {INCOMING_POSITIONS} EXCEPT SELECT {POSITION_COLUMNS} {KNOWN_POSITIONS})
)""",
        after_delete="DELETE FROM positions p USING deleted d WHERE p.coin = d.coin AND p.timestamp = d.timestamp",
    )
)
