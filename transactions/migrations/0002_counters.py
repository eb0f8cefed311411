from django.db import migrations

# What was stored before there were counters.
COUNT = """
INSERT INTO period_counts (stream, seconds, coin, side, start, count, value)
SELECT 'transactions', seconds, coalesce(coin, ''), side, start, count(*), 0
FROM transactions, (VALUES (0), (60), (3600), (86400)) AS period (seconds), LATERAL (
    SELECT CASE seconds WHEN 0 THEN timestamptz 'epoch'
           ELSE date_bin(make_interval(secs => seconds), block_timestamp, 'epoch') END AS start
) begin GROUP BY GROUPING SETS ((seconds, coin, side, start), (seconds, side, start))"""


class Migration(migrations.Migration):
    dependencies = [("transactions", "0001_initial"), ("realtime", "0002_counters")]
    run_before = [("realtime", "0005_counters_of_all_sides")]

    operations = [
        migrations.RunSQL(COUNT, "DELETE FROM period_counts WHERE stream = 'transactions'"),
    ]
