"""`manage.py prune`: removes what is older than its stream's retention."""

import signal
import threading
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from realtime.management.progress import ProgressMeter
from realtime.storage.retention import PRUNE_MARGIN, count_prunable, cutoffs, prune, unknown_streams
from realtime.streams import Stream, all_streams, get_stream


class Command(BaseCommand):
    help = (
        "Removes what is an hour older than STREAM_RETENTION_DAYS says, stream by stream, the oldest first, in small "
        "batches that storing waits for one at a time. What was stored later than something that stays is kept with "
        "it. Ctrl-C ends it between two batches."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("streams", nargs="*", metavar="stream", help="only these (default: all with a retention)")
        parser.add_argument("--dry-run", action="store_true", help="say what would go and remove nothing")
        parser.add_argument("--every", type=float, metavar="SECONDS", help="again and again, with pauses of so long")

    def handle(self, *args: Any, streams: list[str], **options: Any) -> None:
        chosen = self._chosen(streams)
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        while True:
            try:
                for stream in chosen:
                    self._prune(stream, stop, is_dry=options["dry_run"])
            except DatabaseError as error:
                if options["every"] is None:
                    raise CommandError(f"the database does not do it: {str(error).strip()}") from error
                self.stderr.write(f"the database does not do it: {str(error).strip()}")
            if options["every"] is None or stop.wait(options["every"]):
                return

    def _chosen(self, names: list[str]) -> list[Stream]:
        if unknown := unknown_streams():
            known = ", ".join(stream.name for stream in all_streams())
            raise CommandError(f"STREAM_RETENTION_DAYS names {', '.join(sorted(unknown))}; there are {known}")
        kept = cutoffs(datetime.now(UTC))
        if not kept:
            raise CommandError("nothing is pruned: set STREAM_RETENTION_DAYS, like transactions=30,liquidations=365")
        if endless := set(names) - set(kept):
            raise CommandError(f"{', '.join(sorted(endless))}: no retention in STREAM_RETENTION_DAYS")
        return [get_stream(name) for name in sorted(names or kept)]

    def _prune(self, stream: Stream, stop: threading.Event, *, is_dry: bool) -> None:
        cutoff = cutoffs(datetime.now(UTC) - PRUNE_MARGIN)[stream.name]
        rows = upto = 0
        if is_dry:
            upto, rows = count_prunable(stream, cutoff)
        else:
            with ProgressMeter(self.stdout) as meter:
                for pruned in prune(stream, cutoff):
                    upto, rows = pruned.upto, rows + pruned.rows
                    meter.at(rows)
                    if stop.is_set():
                        break
        older = f"older than {cutoff:%Y-%m-%d %H:%M:%S} UTC"
        if rows:
            gone = f"{'would go' if is_dry else 'gone'}, up to seq {upto:,}"
            self.stdout.write(f"{stream.name}: {rows:,} rows {older} {gone}")
        else:
            self.stdout.write(f"{stream.name}: nothing to go: the oldest seq is not {older}")
