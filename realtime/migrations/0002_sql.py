from django.db import migrations



class Migration(migrations.Migration):
    dependencies = [("realtime", "0001_initial")]

    operations = [
        # Each batch updates the roll-ups of the current periods. Free space on the page permits HOT updates, which
        # write no index entries.
        migrations.RunSQL("ALTER TABLE period_counts SET (fillfactor = 80)", "ALTER TABLE period_counts RESET (fillfactor)"),
    ]
