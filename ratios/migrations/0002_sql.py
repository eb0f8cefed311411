from django.db import migrations

# Fact tables are insert-only. The default of autovacuum, a fraction of the table, runs too late for index-only scans.
# A fixed number of inserts keeps the visibility map current.
SET = "autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 50000"
RESET = "autovacuum_vacuum_insert_scale_factor, autovacuum_vacuum_insert_threshold"

LATEST = """
CREATE VIEW latest_long_short_ratios AS
SELECT DISTINCT ON (coin) id, coin, timestamp, long_ratio, short_ratio, long_position_value, short_position_value,
       total_position_value, long_accounts, short_accounts, created_at
FROM long_short_ratios ORDER BY coin, timestamp DESC, id DESC
"""


class Migration(migrations.Migration):
    dependencies = [("ratios", "0001_initial")]

    operations = [
        migrations.RunSQL(LATEST, "DROP VIEW latest_long_short_ratios"),
        *(
            migrations.RunSQL(f"ALTER TABLE {table} SET ({SET})", f"ALTER TABLE {table} RESET ({RESET})")
            for table in ("long_short_ratios",)
        ),
    ]
