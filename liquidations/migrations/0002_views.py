from django.db import migrations

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
    ]
