from django.db import migrations, models

import hyperwatch.fields


class Migration(migrations.Migration):
    """One counter for all sides of a coin in place of one each; the rooms that are counted count anew."""

    dependencies = [("realtime", "0004_lost_messages")]

    operations = [
        migrations.DeleteModel("PeriodCount"),
        migrations.CreateModel(
            name="PeriodCount",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "stream",
                        "seconds",
                        "coin",
                        "start",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("stream", models.CharField(max_length=40)),
                ("seconds", models.IntegerField(help_text="the length of the period")),
                ("coin", hyperwatch.fields.CoinField(blank=True, max_length=32)),
                ("start", models.DateTimeField()),
                ("count_1", models.BigIntegerField(null=True)),
                ("count_2", models.BigIntegerField(null=True)),
                ("count_3", models.BigIntegerField(null=True)),
                ("count_4", models.BigIntegerField(null=True)),
                ("sum_1", models.DecimalField(decimal_places=8, max_digits=48, null=True)),
                ("sum_2", models.DecimalField(decimal_places=8, max_digits=48, null=True)),
                ("sum_3", models.DecimalField(decimal_places=8, max_digits=48, null=True)),
                ("sum_4", models.DecimalField(decimal_places=8, max_digits=48, null=True)),
            ],
            options={
                "db_table": "period_counts",
                "indexes": [models.Index(fields=["stream", "seconds", "start"], name="period_counts_start")],
            },
        ),
        # Of the counters of now each batch changes some: with room on its page a change touches no index.
        migrations.RunSQL("ALTER TABLE period_counts SET (fillfactor = 80)", migrations.RunSQL.noop),
    ]
