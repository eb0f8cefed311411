from django.db import migrations

# What was stored before there were counters.
COUNT = """
INSERT INTO period_counts (stream, seconds, coin, side, start, count, value)
SELECT 'transactions', seconds, coin, side, date_bin(make_interval(secs => seconds), block_timestamp, 'epoch'),
       count(*), 0
FROM transactions, (VALUES (60), (3600), (86400)) AS period (seconds) GROUP BY 2, 3, 4, 5"""


class Migration(migrations.Migration):
    dependencies = [("transactions", "0001_initial"), ("realtime", "0002_counters")]

    operations = [
        migrations.RunSQL(COUNT, "DELETE FROM period_counts WHERE stream = 'transactions'"),
    ]
