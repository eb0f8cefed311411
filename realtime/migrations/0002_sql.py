from django.db import migrations



class Migration(migrations.Migration):
    dependencies = [("realtime", "0001_initial")]

    operations = [
        # Each batch updates the counters of the current periods. With free room on the page an update is HOT: it
        # touches no index.
        migrations.RunSQL("ALTER TABLE period_counts SET (fillfactor = 80)", "ALTER TABLE period_counts RESET (fillfactor)"),
    ]
