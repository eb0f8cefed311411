"""`manage.py prune`: deletes rows older than the retention of their stream."""

import signal
import threading
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from realtime.management.progress import ProgressMeter
from realtime.storage.retention import PRUNE_MARGIN, count_prunable, cutoffs, prune
from realtime.streams import Stream, get_stream


class Command(BaseCommand):
    help = (
        "Deletes rows that are at least an hour older than STREAM_RETENTION_DAYS, stream by stream in order of seq. "
        "Works in small batches; a consumer waits for at most one. Rows stored after a newer fact stay. Ctrl-C ends it "
        "between two batches."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("streams", nargs="*", metavar="stream", help="only these (default: all with a retention)")
        parser.add_argument("--dry-run", action="store_true", help="print the number of rows without deleting them")
        parser.add_argument("--every", type=float, metavar="SECONDS", help="repeat with this pause")

    def handle(self, *args: Any, streams: list[str], **options: Any) -> None:
        streams_to_prune = self._select(streams)
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        while True:
            try:
                for stream in streams_to_prune:
                    self._prune(stream, stop, is_dry_run=options["dry_run"])
            except DatabaseError as error:
                if options["every"] is None:
                    raise CommandError(f"the database failed: {str(error).strip()}") from error
                self.stderr.write(f"the database failed: {str(error).strip()}")
            if options["every"] is None or stop.wait(options["every"]):
                return

    def _select(self, names: list[str]) -> list[Stream]:
        retention = cutoffs(datetime.now(UTC))
        if not retention:
            raise CommandError("nothing is pruned: set STREAM_RETENTION_DAYS, like transactions=30,liquidations=365")
        if without_retention := set(names) - set(retention):
            raise CommandError(
                f"{', '.join(sorted(without_retention))}: no retention, set one in STREAM_RETENTION_DAYS"
            )
        return [get_stream(name) for name in sorted(names or retention)]

    def _prune(self, stream: Stream, stop: threading.Event, *, is_dry_run: bool) -> None:
        cutoff = cutoffs(datetime.now(UTC) - PRUNE_MARGIN)[stream.name]
        rows = last_seq = 0
        if is_dry_run:
            last_seq, rows = count_prunable(stream, cutoff)
        else:
            with ProgressMeter(self.stdout) as meter:
                for pruned in prune(stream, cutoff):
                    last_seq, rows = pruned.upto, rows + pruned.rows
                    meter.at(rows)
                    if stop.is_set():
                        break
        older = f"older than {cutoff:%Y-%m-%d %H:%M:%S} UTC"
        if rows:
            outcome = f"{'would be deleted' if is_dry_run else 'deleted'}, up to seq {last_seq:,}"
            self.stdout.write(f"{stream.name}: {rows:,} rows {older} {outcome}")
        else:
            self.stdout.write(f"{stream.name}: nothing to delete: the oldest seq is not {older}")
