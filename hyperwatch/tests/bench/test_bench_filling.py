"""A filled database is as the store would have left it."""

import pytest

from hyperwatch.bench import CannotMeasureError
from hyperwatch.bench.data import distributions, table_fill
from hyperwatch.bench.data.stream_recipes import RECIPES
from hyperwatch.harness.postgres import Database
from realtime.streams import get_stream

SIZE, SEED = 3_000, 7
DEFINED = "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2"
CONSTRAINTS = "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint ORDER BY 1, 2"
RECOUNT = """
SELECT '{stream}', seconds, coalesce(coin, ''), start, {}
FROM {stream}, (VALUES (60), (3600), (86400), (2592000)) AS period (seconds), LATERAL (
    SELECT date_bin(make_interval(secs => seconds), block_timestamp, 'epoch') AS start
) begin GROUP BY GROUPING SETS ((seconds, coin, start), (seconds, start)) ORDER BY 2, 3, 4"""
COUNTED = "SELECT * FROM period_counts WHERE stream = '{stream}' ORDER BY 2, 3, 4"
OF_SIDES = {
    "liquidations": """
        count(*) FILTER (WHERE side = 'LONG'), count(*) FILTER (WHERE side = 'SHORT'), NULL, NULL,
        sum(CASE side WHEN 'LONG' THEN liquidation_value_usd ELSE 0 END),
        sum(CASE side WHEN 'SHORT' THEN liquidation_value_usd ELSE 0 END), NULL, NULL""",
    "transactions": """
        count(*) FILTER (WHERE side = 'LONG'), count(*) FILTER (WHERE side = 'SHORT'),
        count(*) FILTER (WHERE side = 'OPEN'), count(*) FILTER (WHERE side = 'CLOSE'), NULL, NULL, NULL, NULL""",
}
NEWEST = "SELECT coin, time, seq FROM newest_of_coin WHERE stream = '{stream}' ORDER BY 1"
NEWEST_ROWS = "SELECT DISTINCT ON (coin) coin, {time}, id FROM {table} ORDER BY coin, {time} DESC, id DESC"


def fill(database: Database, *streams: str, size: int = SIZE, seed: int = SEED) -> None:
    table_fill.fill(database.url, size, streams or RECIPES, seed, lambda text: None)


def test_filled_seqs_counters_and_latest_are_correct(fresh_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_fill, "MIN_ROWS_TO_DROP_INDEXES", 1_000)
    monkeypatch.setattr(table_fill, "CHUNK_ROWS", 700)
    before = fresh_database.query(DEFINED), fresh_database.query(CONSTRAINTS)
    fill(fresh_database)
    assert (fresh_database.query(DEFINED), fresh_database.query(CONSTRAINTS)) == before
    for recipe in RECIPES.values():
        stream, rows = get_stream(recipe.stream), recipe.rows(SIZE)
        names = {"stream": stream.name, "table": stream.model._meta.db_table, "time": stream.time}
        assert fresh_database.query(f"SELECT count(*), max(id) FROM {names['table']}") == [(rows, rows)]
        assert fresh_database.value("SELECT head FROM streams WHERE name = %s", stream.name) == rows
        assert fresh_database.query(NEWEST.format(**names)) == fresh_database.query(NEWEST_ROWS.format(**names))
    for name, of_sides in OF_SIDES.items():
        recount = RECOUNT.format(of_sides, stream=name)
        assert fresh_database.query(COUNTED.format(stream=name)) == fresh_database.query(recount)


def test_who_is_asked_for_is_there(fresh_database: Database) -> None:
    fill(fresh_database, "liquidations", "transactions")
    coins = dict(fresh_database.query("SELECT coin, count(*) FROM liquidations GROUP BY 1"))
    assert {distributions.coin(distributions.RARE_COIN + number) for number in range(distributions.RARE)} <= set(coins)
    assert coins["C001"] == max(coins.values())
    wallets = dict(fresh_database.query("SELECT user_address, count(*) FROM liquidations GROUP BY 1"))
    assert wallets[distributions.wallet(0)] == max(wallets.values())
    assert wallets[distributions.wallet(distributions.RARE_WALLET)] == 1
    above = distributions.value_above(0.01)
    passed = fresh_database.value("SELECT count(*) FROM liquidations WHERE liquidation_value_usd > %s", above)
    assert 10 < passed < 60
    fills = fresh_database.value("SELECT count(*) FROM transactions WHERE tx_hash = %s", distributions.tx_hash(SEED, 9))
    assert fills == 3


def test_same_seed_fills_same_rows_and_keeps_existing(fresh_database: Database) -> None:
    rows = "SELECT md5(string_agg(l::text, '' ORDER BY id)) FROM (SELECT {} FROM liquidations) l".format(
        "id, event_key, tx_hash, block_timestamp, user_address, coin, side, liquidation_value_usd"
    )
    fill(fresh_database, "liquidations")
    first = fresh_database.value(rows)
    fill(fresh_database, "liquidations")
    assert fresh_database.value(rows) == first
    with pytest.raises(CannotMeasureError, match="remove that database"):
        fill(fresh_database, "liquidations", size=2 * SIZE)
    fresh_database.query("TRUNCATE liquidations, period_counts, newest_of_coin; UPDATE streams SET head = 0")
    fill(fresh_database, "liquidations", seed=SEED + 1)
    assert fresh_database.value(rows) != first
