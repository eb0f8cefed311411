from django.db import migrations

COUNT = """
INSERT INTO period_counts (stream, seconds, coin, start, count_1, count_2, count_3, count_4)
SELECT 'transactions', seconds, coalesce(coin, ''), start,
    count(*) FILTER (WHERE side = 'LONG'), count(*) FILTER (WHERE side = 'SHORT'),
    count(*) FILTER (WHERE side = 'OPEN'), count(*) FILTER (WHERE side = 'CLOSE')
FROM transactions, (VALUES (60), (3600), (86400), (2592000)) AS period (seconds), LATERAL (
    SELECT date_bin(make_interval(secs => seconds), block_timestamp, 'epoch') AS start
) begin GROUP BY GROUPING SETS ((seconds, coin, start), (seconds, start))"""


class Migration(migrations.Migration):
    dependencies = [("transactions", "0005_ascending"), ("realtime", "0005_counters_of_all_sides")]

    operations = [
        migrations.RunSQL(COUNT, "DELETE FROM period_counts WHERE stream = 'transactions'"),
    ]
