from django.db import migrations

# Fact tables are insert-only. The default of autovacuum, a fraction of the table, runs too late for index-only scans.
# A fixed number of inserts keeps the visibility map current.
SET = "autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 50000"
RESET = "autovacuum_vacuum_insert_scale_factor, autovacuum_vacuum_insert_threshold"



class Migration(migrations.Migration):
    dependencies = [("transactions", "0001_initial")]

    operations = [
        *(
            migrations.RunSQL(f"ALTER TABLE {table} SET ({SET})", f"ALTER TABLE {table} RESET ({RESET})")
            for table in ("transactions", "position_summaries", "positions")
        ),
    ]
