"""Operators' desk for the stream: dead letters to send again, and where the streams are."""

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
    actions = ("send_again",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeadLetter]:
        letters = super().get_queryset(request)
        # A page of letters is not to load a page of megabytes.
        match = request.resolver_match if request.method == "GET" else None
        return (
            letters.defer("bytes")
            if match and match.url_name == "realtime_deadletter_changelist" and request.method == "GET"
            else letters
        )

    def has_send_permission(self, request: HttpRequest) -> bool:
        # Sending writes to Kafka, and looking does not.
        return request.user.has_perm("realtime.change_deadletter")

    @admin.display(description="error")
    def short_error(self, letter: DeadLetter) -> str:
        return letter.error[:80]

    @admin.display(description="message")
    def message(self, letter: DeadLetter) -> SafeString:
        return format_html('<pre style="white-space: pre-wrap; overflow-wrap: anywhere">{}</pre>', preview(letter))

    @admin.action(description="Send again, to the topic each came from", permissions=["send"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[DeadLetter]) -> None:
        try:
            messages.success(request, f"{resend(queryset.iterator(chunk_size=100))} sent again")
        except (KafkaUnavailable, ResendFailed) as error:
            messages.error(request, f"Not sent: {error}")


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
