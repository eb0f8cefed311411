"""The tables of the stream itself: heads, epoch, the newest of each coin, dead letters; and what every fact has."""

import secrets

from django.db import models
from django.db.models.functions import MD5, Lower, Now

from hyperwatch.db.fields import CoinField


class StoredFact(models.Model):
    """A row of a stream. `id` is its `seq`, given by the stream's head and never by a database sequence."""

    id = models.BigIntegerField(primary_key=True)
    event_key = models.BinaryField(max_length=16, unique=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        abstract = True


class StreamHead(models.Model):
    """Where a stream stands. Whoever stores locks this row first, which is what keeps `seq` without holes."""

    name = models.CharField(max_length=40, primary_key=True)
    head = models.BigIntegerField(default=0, help_text="the newest seq")
    floor = models.BigIntegerField(default=0, help_text="the newest seq that retention has removed")

    class Meta:
        db_table = "streams"
        verbose_name, verbose_name_plural = "stream", "streams"

    def __str__(self) -> str:
        return f"{self.name} at {self.head}"


class NewestOfCoin(models.Model):
    """The newest fact of each coin in each stream, by the fact's own time; kept in the storing transaction."""

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


class PeriodCount(models.Model):
    """How many facts of each side a stream has of one coin in one minute, hour, day or thirty days, and their values.

    Kept in the storing transaction, and in the pruning one: it always equals a count of the rows. The coin "" is all
    coins together. The sides are in the order of the stream's `counted`; sums are in USD. A side or a sum that the
    stream does not have is null, and takes no room: an array of those it has would take a third more.
    """

    pk = models.CompositePrimaryKey("stream", "seconds", "coin", "start")
    stream = models.CharField(max_length=40)
    seconds = models.IntegerField(help_text="the length of the period")
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
    """The name of the database's life: after a restore, `init_db --new-epoch` gives it another."""

    value = models.CharField(max_length=32, default=new_epoch)
    since = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "epoch"
        verbose_name = verbose_name_plural = "epoch"

    def __str__(self) -> str:
        return self.value


class Reason(models.TextChoices):
    """Why a message was refused (kafka.md)."""

    NOT_JSON = "NOT_JSON"
    NOT_AN_OBJECT = "NOT_AN_OBJECT"
    UNKNOWN_TYPE = "UNKNOWN_TYPE"
    MISSING_FIELD = "MISSING_FIELD"
    BAD_VALUE = "BAD_VALUE"
    IN_FUTURE = "IN_FUTURE"
    TOO_OLD = "TOO_OLD"
    TOO_LARGE = "TOO_LARGE"
    REFUSED_BY_DATABASE = "REFUSED_BY_DATABASE"


class DeadLetter(models.Model):
    """A message that was refused, its bytes unchanged; null bytes are a message without a value."""

    topic = models.CharField(max_length=255)
    partition = models.IntegerField()
    offset = models.BigIntegerField()
    key = models.BinaryField(null=True)
    bytes = models.BinaryField(null=True)
    reason = models.CharField(max_length=20, choices=Reason)
    error = models.TextField()
    sent_at = models.DateTimeField(null=True, help_text="the message's own Kafka timestamp")
    failed_at = models.DateTimeField(db_default=Now(), db_index=True)
    resent_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "dead_letters"
        ordering = ("-id",)
        constraints = [
            # A place names one message only as long as its topic lives: a topic made anew starts at 0 again.
            models.UniqueConstraint(
                "topic", "partition", "offset", MD5("bytes"), name="dead_letters_place", nulls_distinct=False
            )
        ]
        # Counting the outstanding ones reads neither the resent ones nor any bytes.
        indexes = [models.Index(fields=["id"], condition=models.Q(resent_at=None), name="dead_letters_outstanding")]

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset} {self.reason}"


class LostMessages(models.Model):
    """Messages that Kafka's retention removed before they were read: offsets `first` to `last` of a partition."""

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
