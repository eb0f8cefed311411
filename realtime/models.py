"""Tables of the streams: heads, epoch, latest row of each coin, roll-ups, dead letters; base of the fact tables."""

import secrets

from django.db import models
from django.db.models.functions import MD5, Lower, Now

from hyperwatch.db.fields import CoinField


class StoredFact(models.Model):
    """A row of a stream. `id` is its `seq`, assigned from the stream's head instead of a database sequence."""

    id = models.BigIntegerField(primary_key=True)
    event_key = models.BinaryField(max_length=16, unique=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        abstract = True


class StreamHead(models.Model):
    """Head and floor of a stream. The writer locks this row before it assigns `seq`, which prevents holes."""

    name = models.CharField(max_length=40, primary_key=True)
    head = models.BigIntegerField(default=0, help_text="the seq of the newest row")
    floor = models.BigIntegerField(default=0, help_text="the highest seq that retention removed")

    class Meta:
        db_table = "streams"
        verbose_name, verbose_name_plural = "stream", "streams"

    def __str__(self) -> str:
        return f"{self.name} at {self.head}"


class NewestOfCoin(models.Model):
    """The latest row of each coin in each stream, by fact time; updated in the transaction that stores rows."""

    stream = models.CharField(max_length=40)
    coin = CoinField()
    time = models.DateTimeField()
    seq = models.BigIntegerField()

    class Meta:
        db_table = "newest_of_coin"
        verbose_name = verbose_name_plural = "newest of each coin"
        constraints = [models.UniqueConstraint(fields=["stream", "coin"], name="newest_of_coin_stream_coin")]
        indexes = [models.Index(Lower("coin"), name="newest_of_coin_lower")]

    def __str__(self) -> str:
        return f"{self.stream} {self.coin} at {self.seq}"


class ConsumerOffset(models.Model):
    """The next offset of a Kafka partition, updated in the transaction that stores its messages."""

    pk = models.CompositePrimaryKey("topic", "partition")
    topic = models.CharField(max_length=255)
    partition = models.IntegerField()
    next_offset = models.BigIntegerField()

    class Meta:
        db_table = "consumer_offsets"

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.next_offset}"


class PeriodCount(models.Model):
    """Roll-up: count and USD sum by side, for one coin of a stream in one minute, hour, day or thirty days.

    Updated in the transactions that store and prune rows, so it always equals an aggregate of the rows. The coin ""
    is the total of all coins. The sides have the order of the stream's `rollup`. Sides and sums that the stream does
    not have are null, which takes no space; arrays would take a third more.
    """

    pk = models.CompositePrimaryKey("stream", "seconds", "coin", "start")
    stream = models.CharField(max_length=40)
    seconds = models.IntegerField(help_text="length of the period in seconds")
    coin = CoinField(blank=True)
    start = models.DateTimeField()
    count_1 = models.BigIntegerField(null=True)
    count_2 = models.BigIntegerField(null=True)
    count_3 = models.BigIntegerField(null=True)
    count_4 = models.BigIntegerField(null=True)
    sum_1 = models.DecimalField(max_digits=48, decimal_places=8, null=True)
    sum_2 = models.DecimalField(max_digits=48, decimal_places=8, null=True)
    sum_3 = models.DecimalField(max_digits=48, decimal_places=8, null=True)
    sum_4 = models.DecimalField(max_digits=48, decimal_places=8, null=True)

    class Meta:
        db_table = "period_counts"
        indexes = [models.Index(fields=["stream", "seconds", "start"], name="period_counts_start")]

    def __str__(self) -> str:
        return f"{self.stream} of {self.coin or 'all coins'} in {self.seconds} s from {self.start}"


def new_epoch() -> str:
    return secrets.token_hex(8)


class Epoch(models.Model):
    """Identifies one history of `seq` numbers. A database that went back in time gets another one."""

    value = models.CharField(max_length=32, default=new_epoch)
    since = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "epoch"
        verbose_name = verbose_name_plural = "epoch"

    def __str__(self) -> str:
        return self.value


class Reason(models.TextChoices):
    """Reason codes of rejected messages (kafka.md)."""

    NOT_JSON = "NOT_JSON"
    NOT_AN_OBJECT = "NOT_AN_OBJECT"
    UNKNOWN_TYPE = "UNKNOWN_TYPE"
    MISSING_FIELD = "MISSING_FIELD"
    BAD_VALUE = "BAD_VALUE"
    CONTRADICTION = "CONTRADICTION"
    IN_FUTURE = "IN_FUTURE"
    TOO_OLD = "TOO_OLD"
    TOO_LARGE = "TOO_LARGE"
    REFUSED_BY_DATABASE = "REFUSED_BY_DATABASE"


class DeadLetter(models.Model):
    """A rejected message with its original bytes; null bytes are a message without a value (a tombstone)."""

    topic = models.CharField(max_length=255)
    partition = models.IntegerField()
    offset = models.BigIntegerField()
    key = models.BinaryField(null=True)
    bytes = models.BinaryField(null=True)
    reason = models.CharField(max_length=20, choices=Reason)
    error = models.TextField()
    sent_at = models.DateTimeField(null=True, help_text="the Kafka timestamp of the message")
    failed_at = models.DateTimeField(db_default=Now(), db_index=True)
    resent_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "dead_letters"
        ordering = ("-id",)
        constraints = [
            # MD5 of the bytes: offsets restart at 0 when a topic is deleted and created again.
            models.UniqueConstraint(
                "topic", "partition", "offset", MD5("bytes"), name="dead_letters_place", nulls_distinct=False
            )
        ]
        # Partial index: counting outstanding letters reads neither resent letters nor message bytes.
        indexes = [models.Index(fields=["id"], condition=models.Q(resent_at=None), name="dead_letters_outstanding")]

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset} {self.reason}"


class LostMessages(models.Model):
    """An offset gap: Kafka's retention removed the offsets `first` to `last` of a partition before they were read."""

    topic = models.CharField(max_length=255)
    partition = models.IntegerField()
    first = models.BigIntegerField()
    last = models.BigIntegerField()
    noticed_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "lost_messages"
        verbose_name = verbose_name_plural = "lost messages"
        ordering = ("-id",)
        constraints = [models.UniqueConstraint(fields=["topic", "partition", "first"], name="lost_messages_place")]

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.first}–{self.last}"
