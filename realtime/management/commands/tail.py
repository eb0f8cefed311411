"""manage.py tail: what is new on the stream, a line for each event."""

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

EVERYWHERE = {"0.0.0.0": "localhost", "": "localhost", "::": "localhost"}  # noqa: S104

EXAMPLES = """\
examples:
  tail liquidations
  tail liquidations transactions --coin BTC,ETH --side SHORT --min-value-usd 10000
  tail liquidation_map --coin BTC --snapshot 1
  tail transactions --since 120000 --json | jq .data.price
"""


class Verbatim(DjangoHelpFormatter, RawDescriptionHelpFormatter):
    """Leaves the examples' lines as they are."""


class Command(BaseCommand):
    """Lines on stdout; gaps and the connection's troubles on stderr. Ends with Ctrl-C."""

    help = (
        "Prints what comes on channels of a running server, a line for each event. A lost connection is\n"
        "taken up again where it was; what could not be had is told as a gap, on stderr. Ctrl-C ends it."
    )
    requires_system_checks: list[str] = []

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        return super().create_parser(prog_name, subcommand, epilog=EXAMPLES, formatter_class=Verbatim, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("channels", nargs="+", metavar="CHANNEL", help=", ".join(channels()))
        add("--coin", metavar="BTC,ETH", help="only of these coins (liquidation_map needs it)")
        add("--side", help="only of this side: LONG, SHORT; of transactions also OPEN, CLOSE")
        add("--min-value-usd", metavar="USD", help="only from this value on")
        begin = parser.add_mutually_exclusive_group()
        begin.add_argument("--since", type=int, metavar="SEQ", help="begin behind this number; with one channel")
        begin.add_argument("--snapshot", type=int, metavar="N", help="begin with the last N (of states: one a coin)")
        add("--url", default=default_url(), help="the stream (default: %(default)s)")
        add("--json", action="store_true", dest="as_json", help="a JSON object a line, as the client sees it")

    def handle(self, **options: Any) -> None:
        wanted = list(dict.fromkeys(options["channels"]))
        if options["since"] is not None and len(wanted) > 1:
            raise CommandError("--since goes with one channel: each has numbers of its own")
        try:
            asyncio.run(self._tail(options, {channel: _params(channel, wanted, options) for channel in wanted}))
        except (StreamError, InvalidURI) as error:
            raise CommandError(str(error)) from error
        except BrokenPipeError:
            # `tail … | head` has seen enough; what Python would still flush goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except KeyboardInterrupt:
            pass

    async def _tail(self, options: dict[str, Any], wanted: dict[str, dict[str, Any]]) -> None:
        async with Client(options["url"]) as client:
            for channel, params in wanted.items():
                await client.subscribe(channel, since=options["since"], snapshot=options["snapshot"], **params)
            async for event in client:
                self._print(event, as_json=options["as_json"])

    def _print(self, event: Event, *, as_json: bool) -> None:
        if isinstance(event, Gap):
            what = f"{event.missing_from} to {event.missing_to}"
            self.stderr.write(f"gap: {event.channel} {what} will not come")
        else:
            for fact in _facts(event):
                self.stdout.write(
                    _json(fact) if as_json else format_fact(fact.channel, fact.seq, fact.timestamp, fact.data)
                )
        self.stdout.flush()


def default_url() -> str:
    """Where this machine's server listens, by the settings or by a running `up`."""
    host = EVERYWHERE.get(settings.SERVER_HOST, settings.SERVER_HOST)
    return f"ws://{f'[{host}]' if ':' in host else host}:{settings.RUNNING_PORT}/ws"


def _params(channel: str, wanted: list[str], options: dict[str, Any]) -> dict[str, Any]:
    """What of the options a channel takes; what none of those wanted takes is left for the server to refuse."""
    filters = {Param.SIDE: options["side"], Param.MIN_VALUE_USD: options["min_value_usd"]}
    coins = options["coin"].split(",") if options["coin"] else None
    given = {name: value for name, value in {Param.COINS: coins, **filters}.items() if value is not None}
    taken = {
        name: value
        for name, value in given.items()
        if _takes(channel, name) or not any(_takes(c, name) for c in wanted)
    }
    nested = {str(name): taken.pop(name) for name in filters if name in taken}
    plain: dict[str, Any] = {str(name): value for name, value in taken.items()}
    return plain | ({"filters": nested} if nested else {})


def _takes(channel: str, name: Param) -> bool:
    stream = channels().get(channel)
    return stream is None or name in stream.params


def _json(fact: Fact) -> str:
    return json.dumps(asdict(fact), ensure_ascii=False)


def _facts(event: Fact | Snapshot) -> list[Fact]:
    """A snapshot's rows are told as the facts that they were when they were new."""
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
