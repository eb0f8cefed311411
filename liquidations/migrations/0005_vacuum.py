from django.db import migrations

# Rows are added and never changed: index-only scans need the pages looked after for what is new, not for a share of all.
SET = "autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 50000"
RESET = "autovacuum_vacuum_insert_scale_factor, autovacuum_vacuum_insert_threshold"


class Migration(migrations.Migration):
    dependencies = [("liquidations", "0004_value_index")]

    operations = [
        migrations.RunSQL(f"ALTER TABLE {table} SET ({SET})", f"ALTER TABLE {table} RESET ({RESET})")
        for table in ("liquidations", "liquidation_map")
    ]
