"""Whales are watched, changed and forgotten in any order, and each answer is what a dict would say."""

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from pytest_django.fixtures import Settings

from hyperwatch.tests.api_client import ask, authorization, get, write
from whales.models import WhaleWatch

GENERATED = settings(
    max_examples=6,
    stateful_step_count=12,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    database=None,
)

# Few, so that they meet again.
wallets = some.sampled_from(["0x" + digit * 40 for digit in "abAB1"])
words = some.text(some.characters(exclude_categories=["Cs", "Cc"]), max_size=20).map(str.strip)
places = some.integers(0, 5)


class Whales(RuleBasedStateMachine):
    key: dict[str, str]

    def __init__(self) -> None:
        super().__init__()
        WhaleWatch.objects.all().delete()
        self.known: dict[int, dict[str, Any]] = {}
        self.gone: list[int] = []

    @rule(wallet=wallets, alias=words)
    def watch(self, wallet: str, alias: str) -> None:
        is_watched = wallet.lower() in {whale["wallet_address"] for whale in self.known.values()}
        returned = self._write(
            "POST", "/whales", {"wallet_address": wallet, "alias": alias}, 409 if is_watched else 200
        )
        if not is_watched:
            whale = returned["data"]
            assert (whale["wallet_address"], whale["alias"], whale["is_active"]) == (wallet.lower(), alias, True)
            assert whale["id"] not in [*self.known, *self.gone]
            self.known[whale["id"]] = whale

    @rule(place=places, fields=some.fixed_dictionaries({}, optional={"alias": words, "is_active": some.booleans()}))
    def change(self, place: int, fields: dict[str, Any]) -> None:
        number = self._one(place)
        returned = self._write("PATCH", f"/whales/{number}", fields, 200 if number in self.known else 404)
        if number in self.known:
            self.known[number] |= fields
            assert returned["data"] == self.known[number]

    @rule(place=places, wallet=wallets)
    def change_its_wallet(self, place: int, wallet: str) -> None:
        number = self._one(place)
        whale = self.known.get(number, {})
        same = whale.get("wallet_address") == wallet.lower()
        self._write("PATCH", f"/whales/{number}", {"wallet_address": wallet}, 200 if same else 400 if whale else 404)

    @rule(place=places)
    def forget(self, place: int) -> None:
        number = self._one(place)
        returned = self._write("DELETE", f"/whales/{number}", None, 200 if number in self.known else 404)
        if number in self.known:
            assert returned["data"] == self.known.pop(number)
            self.gone.append(number)

    @invariant()
    def what_is_read_is_what_was_written(self) -> None:
        listed = {whale["id"]: whale for whale in get("/whales")["whales"]}
        assert listed == self.known
        for number in self.gone[-1:]:
            ask(f"/whales/{number}", 404)
            ask(f"/whales/{number}/activities", 404)

    def _one(self, place: int) -> int:
        numbers = [*self.known, *self.gone[-2:], 2**40]
        return numbers[place % len(numbers)]

    def _write(self, method: str, path: str, body: Any, status: int) -> dict[str, Any]:
        return write(method, path, body, status, **self.key)


@pytest.mark.django_db(transaction=True)
def test_random_operations_match_a_dict_model(settings: Settings) -> None:
    settings.THROTTLE_READS = settings.THROTTLE_WRITES = "100000000/second"
    Whales.key = authorization()
    run_state_machine_as_test(Whales, settings=GENERATED)
