"""`manage.py dead_letters`: lists, shows and resends rejected messages."""

from datetime import datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models import QuerySet

from hyperwatch.formats import isoformat
from hyperwatch.management.base import DatabaseCommand, whole_number
from hyperwatch.terminal import escape_controls
from realtime.ingest.dead_letters import ResendFailed, preview, resend
from realtime.kafka.admin import KafkaUnavailable
from realtime.models import DeadLetter, Reason

REASONS = ", ".join(Reason.values)


class Command(DatabaseCommand):
    help = "Lists, shows and resends rejected messages."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="list | show | send")
        list_parser = actions.add_parser("list", help="the latest letters, one line each")
        list_parser.add_argument(
            "--reason",
            choices=Reason.values,
            metavar="REASON",
            help=f"only letters rejected for this reason: {REASONS}",
        )
        list_parser.add_argument("--waiting", action="store_true", help="only letters that were not sent again")
        list_parser.add_argument(
            "--limit",
            type=whole_number(1, 1_000_000),
            default=20,
            help="maximum number of lines (default: %(default)s)",
        )
        show_parser = actions.add_parser("show", help="one letter with all fields and its payload")
        show_parser.add_argument("id", type=int, help="its id, from `list`")
        send_parser = actions.add_parser("send", help="send letters again to their topics")
        send_parser.add_argument("ids", type=int, nargs="*", metavar="id", help="ids from `list`")
        send_parser.add_argument(
            "--reason",
            choices=Reason.values,
            metavar="REASON",
            help="all letters rejected for this reason that were not sent again",
        )
        send_parser.add_argument("--all", action="store_true", help="all letters that were not sent again")

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        {"list": self._list, "show": self._show, "send": self._send}[action](options)

    def _list(self, options: dict[str, Any]) -> None:
        letters = _select(options["reason"], is_unsent=options["waiting"])
        for letter in letters.defer("bytes")[: options["limit"]]:
            sent = f"  sent again {isoformat(letter.resent_at)}" if letter.resent_at else ""
            line = f"{letter.pk:>6}  {isoformat(letter.failed_at)}  {letter}  {letter.error[:80]}{sent}"
            self.stdout.write(escape_controls(line))
        self.stdout.write(f"{letters.count()} letters")

    def _show(self, options: dict[str, Any]) -> None:
        letter = DeadLetter.objects.filter(pk=options["id"]).first()
        if letter is None:
            raise CommandError(f"Dead letter {options['id']} does not exist; `dead_letters list` shows the ids")
        for name in ("topic", "partition", "offset", "reason", "error", "sent_at", "failed_at", "resent_at"):
            value = getattr(letter, name)
            text = isoformat(value) if isinstance(value, datetime) else str(value)
            self.stdout.write(escape_controls(f"{name}: {text}"))
        self.stdout.write(escape_controls(f"key: {bytes(letter.key or b'').decode(errors='backslashreplace')}"))
        self.stdout.write(escape_controls(preview(letter)))

    def _send(self, options: dict[str, Any]) -> None:
        if not (options["ids"] or options["reason"] or options["all"]):
            raise CommandError("No letters selected: give ids, --reason or --all")
        letters = _select(options["reason"], is_unsent=not options["ids"])
        if options["ids"]:
            letters = letters.filter(pk__in=options["ids"])
        try:
            self.stdout.write(f"{resend(letters.iterator(chunk_size=100))} letters sent again")
        except (KafkaUnavailable, ResendFailed) as error:
            raise CommandError(str(error)) from error


def _select(reason: str | None, *, is_unsent: bool) -> QuerySet[DeadLetter]:
    letters = DeadLetter.objects.all()
    if reason:
        letters = letters.filter(reason=reason)
    return letters.filter(resent_at=None) if is_unsent else letters
