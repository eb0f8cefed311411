from django.db import migrations

LATEST = """
CREATE VIEW latest_long_short_ratios AS
SELECT DISTINCT ON (coin) id, coin, timestamp, long_ratio, short_ratio, long_position_value, short_position_value,
       total_position_value, long_accounts, short_accounts, created_at
FROM long_short_ratios ORDER BY coin, timestamp DESC, id DESC
"""


class Migration(migrations.Migration):
    dependencies = [("ratios", "0001_initial")]

    operations = [migrations.RunSQL(LATEST, "DROP VIEW latest_long_short_ratios")]
