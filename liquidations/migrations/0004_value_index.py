from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("liquidations", "0003_counters")]

    operations = [
        migrations.AddIndex(
            model_name="liquidation",
            index=models.Index(fields=["liquidation_value_usd"], name="liquidations_value"),
        ),
        # Values are a long tail: with 100 steps the planner takes one in 100,000 for one in 500.
        migrations.RunSQL(
            "ALTER TABLE liquidations ALTER COLUMN liquidation_value_usd SET STATISTICS 1000",
            "ALTER TABLE liquidations ALTER COLUMN liquidation_value_usd SET STATISTICS -1",
        ),
    ]
