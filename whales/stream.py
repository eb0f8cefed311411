"""Stream of whale activities, derived from transactions and liquidations."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from django.conf import settings
from django.db.models.expressions import RawSQL

from realtime.streams import Fact, Param, Stream, register
from whales import events, models


def derive(facts: Mapping[str, Sequence[Fact]]) -> Iterable[tuple[str, int, events.WhaleActivityRow]]:
    """Yields (stream, index of the fact, activity) for facts of wallets with an active watch."""
    addresses = {fact.address for fact in chain.from_iterable(facts.values()) if fact.address}
    # One text parameter: quoting each wallet of a batch separately costs more than the query.
    wallets = RawSQL("SELECT unnest(string_to_array(%s, ','))", [",".join(addresses)])
    watches = models.WhaleWatch.objects.filter(is_active=True, wallet_address__in=wallets)
    whales = {
        address: events.Whale(whale_id, alias)
        for whale_id, address, alias in watches.values_list("id", "wallet_address", "alias")
    }
    for stream in facts:
        for index, fact in enumerate(facts[stream]):
            whale = whales.get(fact.address or "")
            if whale is not None:
                for activity in events.activities(stream, fact, whale, settings.WHALE_LARGE_TRADE_USD):
                    yield stream, index, activity


def watch_wallets(wallets: Sequence[tuple[str, str]]) -> None:
    """Creates watches, [(address, alias)]; existing watches stay unchanged."""
    models.WhaleWatch.objects.bulk_create(
        [models.WhaleWatch(wallet_address=address, alias=alias) for address, alias in wallets],
        ignore_conflicts=True,
    )


WHALE_ACTIVITIES = register(
    Stream(
        name="whale_activities",
        frame_type="whale_activity",
        is_state=False,
        model=models.WhaleActivity,
        row=events.WhaleActivityRow,
        time="timestamp",
        identity=events.identity,
        fact=events.fact,
        params={
            Param.WHALE_IDS: None,
            Param.ACTIVITY_TYPES: events.ActivityType,
            Param.COINS: None,
            Param.MIN_VALUE_USD: None,
        },
        columns={"whale_id": "whale_id", "kind": "activity_type", "value": "value_usd"},
        derives_from=("liquidations", "transactions"),
        derive=derive,
        watch=watch_wallets,
    )
)
