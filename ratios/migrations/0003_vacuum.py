from django.db import migrations

# Rows are added and never changed: index-only scans need the pages looked after for what is new, not for a share of all.
SET = "autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 50000"
RESET = "autovacuum_vacuum_insert_scale_factor, autovacuum_vacuum_insert_threshold"


class Migration(migrations.Migration):
    dependencies = [("ratios", "0002_views")]

    operations = [
        migrations.RunSQL(f"ALTER TABLE {table} SET ({SET})", f"ALTER TABLE {table} RESET ({RESET})")
        for table in ("long_short_ratios",)
    ]
