from django.db import migrations

# Fact tables are insert-only. The default of autovacuum, a fraction of the table, runs too late for index-only scans.
# A fixed number of inserts keeps the visibility map current.
SET = "autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 50000"
RESET = "autovacuum_vacuum_insert_scale_factor, autovacuum_vacuum_insert_threshold"

LEVELS = """
CREATE VIEW liquidation_map_levels AS
SELECT m.coin, l.price AS price_level, m.timestamp, l.long_liquidation_value, l.short_liquidation_value,
       l.long_liquidation_count, l.short_liquidation_count
FROM liquidation_map m, json_to_recordset(m.price_levels) AS l(
    price numeric(30, 8), long_liquidation_value numeric(30, 8), short_liquidation_value numeric(30, 8),
    long_liquidation_count integer, short_liquidation_count integer
)
"""

RECENT = """
CREATE VIEW recent_liquidations AS
SELECT id, tx_hash, block_number, block_timestamp, user_address, coin, side, liquidated_size, liquidation_price,
       liquidation_value_usd, leverage, margin, liquidator_address, raw_data, created_at
FROM liquidations WHERE block_timestamp > now() - interval '24 hours' ORDER BY block_timestamp DESC, id DESC
"""


class Migration(migrations.Migration):
    dependencies = [("liquidations", "0001_initial")]

    operations = [
        migrations.RunSQL(LEVELS, "DROP VIEW liquidation_map_levels"),
        migrations.RunSQL(RECENT, "DROP VIEW recent_liquidations"),
        # Values have a long tail: with the default statistics target of 100, the planner estimates one row in 500
        # instead of one in 100,000.
        migrations.RunSQL(
            "ALTER TABLE liquidations ALTER COLUMN liquidation_value_usd SET STATISTICS 1000",
            "ALTER TABLE liquidations ALTER COLUMN liquidation_value_usd SET STATISTICS -1",
        ),
        *(
            migrations.RunSQL(f"ALTER TABLE {table} SET ({SET})", f"ALTER TABLE {table} RESET ({RESET})")
            for table in ("liquidations", "liquidation_map")
        ),
    ]
