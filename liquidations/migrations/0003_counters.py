from django.db import migrations

# What was stored before there were counters.
COUNT = """
INSERT INTO period_counts (stream, seconds, coin, side, start, count, value)
SELECT 'liquidations', seconds, coin, side, date_bin(make_interval(secs => seconds), block_timestamp, 'epoch'),
       count(*), sum(liquidation_value_usd)
FROM liquidations, (VALUES (60), (3600), (86400)) AS period (seconds) GROUP BY 2, 3, 4, 5"""


class Migration(migrations.Migration):
    dependencies = [("liquidations", "0002_views"), ("realtime", "0002_counters")]

    operations = [
        migrations.RunSQL(COUNT, "DELETE FROM period_counts WHERE stream = 'liquidations'"),
    ]
