"""Admin of the streams: dead letters with resend, offset gaps, heads, latest rows, epoch."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from hyperwatch.admin_base import ReadOnlyAdmin
from realtime.ingest.dead_letters import ResendFailed, preview, resend
from realtime.kafka.admin import KafkaUnavailable
from realtime.models import DeadLetter, Epoch, LostMessages, NewestOfCoin, StreamHead


@admin.register(DeadLetter)
class DeadLetterAdmin(ReadOnlyAdmin):
    list_display = ("id", "failed_at", "topic", "partition", "offset", "reason", "short_error", "resent_at")
    list_filter = ("reason", ("resent_at", admin.EmptyFieldListFilter))
    fields = ("topic", "partition", "offset", "reason", "error", "sent_at", "failed_at", "resent_at", "message")
    readonly_fields = ("message",)
    actions = ("resend_letters",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeadLetter]:
        letters = super().get_queryset(request)
        # Defer on the list page, which would otherwise load megabytes of message bytes.
        match = request.resolver_match if request.method == "GET" else None
        return (
            letters.defer("bytes")
            if match and match.url_name == "realtime_deadletter_changelist" and request.method == "GET"
            else letters
        )

    def has_resend_permission(self, request: HttpRequest) -> bool:
        # Resending writes to Kafka, so it needs the change permission; the admin itself is read-only.
        return request.user.has_perm("realtime.change_deadletter")

    @admin.display(description="error")
    def short_error(self, letter: DeadLetter) -> str:
        return letter.error[:80]

    @admin.display(description="message")
    def message(self, letter: DeadLetter) -> SafeString:
        return format_html('<pre style="white-space: pre-wrap; overflow-wrap: anywhere">{}</pre>', preview(letter))

    @admin.action(description="Resend selected letters to their original topics", permissions=["resend"])
    def resend_letters(self, request: HttpRequest, queryset: QuerySet[DeadLetter]) -> None:
        try:
            messages.success(request, f"{resend(queryset.iterator(chunk_size=100))} letters resent")
        except (KafkaUnavailable, ResendFailed) as error:
            messages.error(request, f"Not resent: {error}")


@admin.register(LostMessages)
class LostMessagesAdmin(ReadOnlyAdmin):
    list_display = ("noticed_at", "topic", "partition", "first", "last")
    list_filter = ("topic",)


@admin.register(StreamHead)
class StreamHeadAdmin(ReadOnlyAdmin):
    list_display = ("name", "head", "floor")


@admin.register(NewestOfCoin)
class NewestOfCoinAdmin(ReadOnlyAdmin):
    list_display = ("stream", "coin", "time", "seq")
    list_filter = ("stream",)
    search_fields = ("coin__exact",)


@admin.register(Epoch)
class EpochAdmin(ReadOnlyAdmin):
    list_display = ("value", "since")
