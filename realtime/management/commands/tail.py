"""`manage.py tail`: prints new events of a running server, one per line."""

import asyncio
import json
import os
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, DjangoHelpFormatter
from websockets.exceptions import InvalidURI

from realtime.client import Client, Event, Fact, Gap, Snapshot, StreamError
from realtime.management.line_format import format_fact
from realtime.streams import Param, channels

WILDCARD_HOSTS = {"0.0.0.0": "localhost", "": "localhost", "::": "localhost"}  # noqa: S104

EXAMPLES = """\
examples:
  tail liquidations
  tail liquidations transactions --coin BTC,ETH --side SHORT --min-value-usd 10000
  tail liquidation_map --coin BTC --snapshot 1
  tail transactions --since 120000 --json | jq .data.price
"""


class VerbatimHelpFormatter(DjangoHelpFormatter, RawDescriptionHelpFormatter):
    """Keeps the line breaks of the examples."""


class Command(BaseCommand):
    """Prints events to stdout, gaps and connection errors to stderr. Ctrl-C ends it."""

    help = (
        "Prints new events of the channels of a running server, one per line. Reconnects and resumes after\n"
        "a lost connection; events that are no longer available are reported as a gap on stderr. Ctrl-C ends it."
    )
    requires_system_checks: list[str] = []

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        return super().create_parser(
            prog_name, subcommand, epilog=EXAMPLES, formatter_class=VerbatimHelpFormatter, **kwargs
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("channels", nargs="+", metavar="CHANNEL", help=", ".join(channels()))
        add("--coin", metavar="BTC,ETH", help="only these coins (required for liquidation_map)")
        add("--side", help="only this side: LONG, SHORT; for transactions also OPEN, CLOSE")
        add("--min-value-usd", metavar="USD", help="only events of at least this value")
        start_group = parser.add_mutually_exclusive_group()
        start_group.add_argument("--since", type=int, metavar="SEQ", help="start after this seq; with one channel only")
        start_group.add_argument(
            "--snapshot", type=int, metavar="N", help="start with the last N events (for states: one per coin)"
        )
        add("--url", default=default_url(), help="URL of the WebSocket (default: %(default)s)")
        add("--json", action="store_true", dest="as_json", help="one JSON object per line, with all fields")

    def handle(self, **options: Any) -> None:
        requested = list(dict.fromkeys(options["channels"]))
        if options["since"] is not None and len(requested) > 1:
            raise CommandError("--since needs exactly one channel: each channel has its own seq")
        try:
            subscriptions = {channel: _params(channel, requested, options) for channel in requested}
            asyncio.run(self._tail(options, subscriptions))
        except (StreamError, InvalidURI) as error:
            raise CommandError(str(error)) from error
        except BrokenPipeError:
            # The reader of the pipe exited (`tail … | head`): Python's flush at exit would raise again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except KeyboardInterrupt:
            pass

    async def _tail(self, options: dict[str, Any], subscriptions: dict[str, dict[str, Any]]) -> None:
        async with Client(options["url"]) as client:
            for channel, params in subscriptions.items():
                await client.subscribe(channel, since=options["since"], snapshot=options["snapshot"], **params)
            async for event in client:
                self._print(event, as_json=options["as_json"])

    def _print(self, event: Event, *, as_json: bool) -> None:
        if isinstance(event, Gap):
            missing = f"{event.missing_from} to {event.missing_to}"
            self.stderr.write(f"gap: {event.channel} {missing} will not be sent")
        else:
            for fact in _facts(event):
                self.stdout.write(
                    _json(fact) if as_json else format_fact(fact.channel, fact.seq, fact.timestamp, fact.data)
                )
        self.stdout.flush()


def default_url() -> str:
    """The URL of this machine's server, from the settings or from a running `up`."""
    host = WILDCARD_HOSTS.get(settings.SERVER_HOST, settings.SERVER_HOST)
    return f"ws://{f'[{host}]' if ':' in host else host}:{settings.RUNNING_PORT}/ws"


def _params(channel: str, requested: list[str], options: dict[str, Any]) -> dict[str, Any]:
    """The options that apply to `channel`. Options that apply to no channel are sent too: the server rejects them."""
    filters = {Param.SIDE: options["side"], Param.MIN_VALUE_USD: options["min_value_usd"]}
    coins = options["coin"].split(",") if options["coin"] else None
    options_by_param = {name: value for name, value in {Param.COINS: coins, **filters}.items() if value is not None}
    accepted = {
        name: value
        for name, value in options_by_param.items()
        if _has_param(channel, name) or not any(_has_param(other, name) for other in requested)
    }
    nested = {str(name): accepted.pop(name) for name in filters if name in accepted}
    top_level: dict[str, Any] = {str(name): value for name, value in accepted.items()}
    return top_level | ({"filters": nested} if nested else {})


def _has_param(channel: str, name: Param) -> bool:
    stream = channels().get(channel)
    return stream is None or name in stream.params


def _json(fact: Fact) -> str:
    text = json.dumps(asdict(fact), ensure_ascii=False)
    return text if text.isprintable() else json.dumps(asdict(fact))


def _facts(event: Fact | Snapshot) -> list[Fact]:
    """Converts the rows of a snapshot to facts."""
    if isinstance(event, Fact):
        return [event]
    stream = channels().get(event.channel)
    frame_type, time = (stream.frame_type or "", stream.time) if stream else ("", "")
    return [
        Fact(
            channel=event.channel,
            type=frame_type,
            seq=row["seq"],
            epoch=event.epoch,
            timestamp=str(row.get(time, "")),
            data=row,
        )
        for row in event.data
    ]
