"""The client by what a server may say to it; test_client_restarts.py has the real one."""

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

import pytest

from hyperwatch.harness.process import free_port
from realtime import client as module
from realtime.client import Client, Fact, Gap, InvalidChannel, InvalidParams, Pauses, Refused, ServerError, Snapshot
from realtime.tests.fake_server import Line, Script, fact, scripted, take


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(coroutine, 10))


def seqs(events: list[Any]) -> list[int]:
    return [event.seq for event in events]


def quick() -> Pauses:
    return Pauses(0.001, 0.002)


# pauses


def test_reconnect_pauses_grow_randomly_and_reset() -> None:
    pauses = Pauses(1.0, 10.0, random.Random(7))
    chance = random.Random(7)
    expected = [whole * chance.uniform(0.5, 1.0) for whole in (1, 2, 4, 8, 10, 10)]
    assert [pauses.next() for _ in range(6)] == expected
    assert len({pauses.next() for _ in range(20)}) == 20
    pauses.reset()
    assert 0.5 <= pauses.next() <= 1.0


def test_reconnect_after_1001_is_immediate_once() -> None:
    pauses = Pauses(1.0, 10.0)
    assert pauses.next(is_invited=True) == 0.0
    assert 0.5 <= pauses.next(is_invited=True) <= 1.0
    assert 1.0 <= pauses.next(is_invited=True) <= 2.0


# what it asks for


def test_the_first_place_is_the_head_that_hello_told() -> None:
    """A connection that is lost before the first event must not lose the events in between."""
    params = []

    async def drops(line: Line) -> None:
        params.append(await line.agree(head=7))

    async def goes_on(line: Line) -> None:
        params.append(await line.agree(head=9))
        await line.report(8, 9)
        await line.stay()

    async def check() -> None:
        async with scripted(drops, goes_on) as url, Client(url, pauses=quick()) as client:
            await client.subscribe("liquidations", coins=["BTC"])
            assert seqs(await take(client, 2)) == [8, 9]

    run(check())
    assert params == [{"coins": ["BTC"], "since": 7, "epoch": "one"}] * 2


def test_saved_position_resumes_with_its_epoch() -> None:
    params = []

    async def renumbered(line: Line) -> None:
        params.append(await line.agree(head=3, epoch="two"))
        await line.say("gap", channel="liquidations", missing_from=1, missing_to=3)
        await line.report(4)

    async def goes_on(line: Line) -> None:
        params.append(await line.agree(head=5, epoch="two"))
        await line.report(4, 5)
        await line.stay()

    async def check() -> None:
        async with scripted(renumbered, goes_on) as url, Client(url, pauses=quick()) as client:
            await client.subscribe("liquidations", since=1000, epoch="one")
            gap, *facts = await take(client, 3)
            assert gap == Gap(channel="liquidations", missing_from=1, missing_to=3, epoch="two")
            assert seqs(facts) == [4, 5]

    run(check())
    assert params == [{"since": 1000, "epoch": "one"}, {"since": 4, "epoch": "two"}]


def test_snapshot_is_requested_until_received() -> None:
    params = []

    async def drops(line: Line) -> None:
        params.append(await line.agree(head=5))

    async def shows(line: Line) -> None:
        params.append(await line.agree(head=6))
        await line.say("snapshot", channel="liquidations", seq=6, data=[{"seq": 2}, {"seq": 6}])
        await line.report(7)

    async def goes_on(line: Line) -> None:
        params.append(await line.agree(head=8))
        await line.report(8)
        await line.stay()

    async def check() -> None:
        async with scripted(drops, shows, goes_on) as url, Client(url, pauses=quick()) as client:
            await client.subscribe("liquidations", snapshot=2)
            first, *facts = await take(client, 3)
            assert first == Snapshot(channel="liquidations", seq=6, epoch="one", data=[{"seq": 2}, {"seq": 6}])
            assert seqs(facts) == [7, 8]

    run(check())
    assert params == [{"snapshot": 2}, {"snapshot": 2}, {"since": 7, "epoch": "one"}]


def test_channel_is_subscribed_once_with_one_start() -> None:
    async def agrees(line: Line) -> None:
        await line.agree()
        await line.stay()

    async def check() -> None:
        async with scripted(agrees) as url, Client(url) as client:
            with pytest.raises(ValueError, match="exclude each other"):
                await client.subscribe("liquidations", since=1, snapshot=1)
            await client.subscribe("liquidations")
            with pytest.raises(ValueError, match="already"):
                await client.subscribe("liquidations")

    run(check())


# what it yields


def test_batches_are_unpacked_once_in_order() -> None:
    async def repeats(line: Line) -> None:
        await line.agree()
        await line.say("batch", channel="liquidations", data=[fact(1), fact(2)])
        await line.report(2, 1, 3)
        await line.say("batch", channel="liquidations", data=[fact(3), fact(4)])
        await line.say("something_new", channel="liquidations_of_tomorrow")
        await line.report(5)
        await line.stay()

    async def check() -> None:
        async with scripted(repeats) as url, Client(url) as client:
            await client.subscribe("liquidations", batch=True)
            events = await take(client, 5)
            assert seqs(events) == [1, 2, 3, 4, 5]
            assert events[0] == Fact(
                channel="liquidations",
                type="liquidation",
                seq=1,
                epoch="one",
                timestamp="2026-01-10T10:30:00Z",
                data={},
            )

    run(check())


@pytest.mark.parametrize("code", [1001, 4408, 4429, None])
def test_a_closed_connection_is_taken_up_where_it_was(code: int | None) -> None:
    async def closes(line: Line) -> None:
        await line.agree()
        await line.report(1, 2)
        await line.socket.close(code) if code else line.socket.transport.abort()

    async def goes_on(line: Line) -> None:
        assert await line.agree(head=3) == {"since": 2, "epoch": "one"}
        await line.report(3)
        await line.stay()

    async def check() -> None:
        # A client that received 1001 does not wait for a minute.
        pauses = Pauses(60.0, 60.0) if code in (1001, 4408) else quick()
        async with scripted(closes, goes_on) as url, Client(url, pauses=pauses) as client:
            await client.subscribe("liquidations")
            assert seqs(await take(client, 3)) == [1, 2, 3]

    run(check())


def test_the_pauses_are_short_again_after_a_healthy_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEALTHY_SECONDS", 0.05)
    pauses = Pauses(0.001, 60.0)
    for _ in range(20):
        pauses.next()

    async def lives_a_while(line: Line) -> None:
        await line.agree()
        await asyncio.sleep(0.1)

    async def goes_on(line: Line) -> None:
        await line.agree()
        await line.report(1)
        await line.stay()

    async def check() -> None:
        async with scripted(lives_a_while, goes_on) as url, Client(url, pauses=pauses) as client:
            await client.subscribe("liquidations")
            assert seqs(await take(client, 1)) == [1]

    run(check())


def test_silent_server_is_pinged_then_disconnected() -> None:
    heard = []

    async def freezes(line: Line) -> None:
        await line.agree()
        heard.append(await line.hear())
        await line.say("pong")
        heard.append(await line.hear())
        await line.stay()

    async def goes_on(line: Line) -> None:
        await line.agree()
        await line.report(1)
        await line.stay()

    async def check() -> None:
        async with scripted(freezes, goes_on) as url, Client(url, alive=0.05, pauses=quick()) as client:
            await client.subscribe("liquidations")
            assert seqs(await take(client, 1)) == [1]

    run(check())
    assert heard == [{"type": "ping"}] * 2


def test_quiet_channel_advances_with_server_positions() -> None:
    resumed = []

    async def is_quiet(line: Line) -> None:
        await line.agree(head=5)
        assert await line.hear() == {"type": "ping"}
        await line.say("pong", channels={"liquidations": {"seq": 900}, "transactions": {"seq": 1}})
        await line.socket.close(1001)

    async def goes_on(line: Line) -> None:
        resumed.append((await line.agree(head=1_000))["since"])
        await line.report(901)
        await line.stay()

    async def check() -> None:
        async with scripted(is_quiet, goes_on) as url, Client(url, alive=0.05, pauses=quick()) as client:
            await client.subscribe("liquidations")
            assert seqs(await take(client, 1)) == [901]

    run(check())
    assert resumed == [900]


# what it raises


@pytest.mark.parametrize(
    ("code", "error"),
    [("INVALID_CHANNEL", InvalidChannel), ("INVALID_PARAMS", InvalidParams), ("LIMIT_EXCEEDED", ServerError)],
)
def test_invalid_subscription_raises_its_error(code: str, error: type[ServerError]) -> None:
    async def refuses(line: Line) -> None:
        await line.refuse(code)
        await line.agree()
        await line.report(1)
        await line.stay()

    async def check() -> None:
        async with scripted(refuses) as url, Client(url) as client:
            with pytest.raises(error, match="it is") as raised:
                await client.subscribe("liquidations")
            assert raised.value.code == code
            await client.subscribe("liquidations")
            assert seqs(await take(client, 1)) == [1]

    run(check())


def test_a_server_whose_database_is_away_is_asked_again() -> None:
    async def is_away(line: Line) -> None:
        await line.refuse("INTERNAL_ERROR")
        await line.stay()

    async def is_back(line: Line) -> None:
        await line.agree()
        await line.report(1)
        await line.stay()

    async def check() -> None:
        async with scripted(is_away, is_back) as url, Client(url, pauses=quick()) as client:
            await client.subscribe("liquidations")
            assert seqs(await take(client, 1)) == [1]

    run(check())


def test_local_connection_ignores_proxy_of_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")

    async def speaks(line: Line) -> None:
        await line.agree(head=0)
        await line.report(1)
        await line.stay()

    async def check() -> None:
        async with scripted(speaks) as url, Client(url, pauses=quick()) as client:
            await client.subscribe("liquidations")
            assert seqs(await take(client, 1)) == [1]

    run(check())


def test_failed_proxy_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    proxy = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("http_proxy", f"http://user:hunter2@{proxy}")

    async def check() -> None:
        async with Client("ws://stream.example.com:8080/ws", pauses=quick()) as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.subscribe("transactions"), 0.5)

    run(check())
    assert f"ws://stream.example.com:8080/ws through proxy {proxy}: " in caplog.text
    assert "hunter2" not in caplog.text


async def _is_unauthorised(line: Line) -> None:
    await line.socket.close(4401, "no token")


async def _is_at_another_path(line: Line) -> None:
    await line.socket.close(4404, "connect to /ws")


async def _speaks_something_else(line: Line) -> None:
    await line.socket.send("220 ready")
    await line.stay()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (_is_unauthorised, r"no token \(code 4401\)"),
        (_is_at_another_path, r"connect to /ws \(code 4404\)"),
        (_speaks_something_else, "220 ready"),
    ],
)
def test_what_waiting_does_not_help_against_is_refused(script: Script, reason: str) -> None:
    async def check() -> None:
        async with scripted(script) as url, Client(url) as client:
            with pytest.raises(Refused, match=reason):
                await client.subscribe("liquidations")

    run(check())


def test_token_is_sent_in_first_frame() -> None:
    async def authenticates(line: Line) -> None:
        assert await line.hear() == {"type": "authenticate", "token": "a.b"}
        await line.say("connected", epoch="one", channels={"liquidations": {"head": 4, "floor": 0}})
        assert await line.agree(head=4) == {"since": 4, "epoch": "one"}
        await line.report(5)
        await line.stay()

    async def check() -> None:
        async with scripted(authenticates) as url, Client(url, token="a.b") as client:
            await client.subscribe("liquidations")
            assert seqs(await take(client, 1)) == [5]

    run(check())


# how it ends


def test_cancelled_wait_loses_nothing_and_close_ends_iteration() -> None:
    async def speaks_late(line: Line) -> None:
        await line.agree()
        await line.report(1)
        await asyncio.sleep(0.2)
        await line.report(2)
        await line.stay()

    async def check() -> None:
        async with scripted(speaks_late) as url, Client(url) as client:
            await client.subscribe("liquidations")
            assert seqs(await take(client, 1)) == [1]
            with pytest.raises(TimeoutError):
                await take(client, 1, 0.05)
            assert seqs(await take(client, 1)) == [2]
            waiting = asyncio.ensure_future(anext(client, "ended"))
            await asyncio.sleep(0.05)
            await client.aclose()
            assert await waiting == "ended"

    run(check())


def test_waiting_client_closes_without_leftover_task() -> None:
    async def check() -> None:
        client = Client("ws://127.0.0.1:9/ws", pauses=Pauses(60.0))
        subscribing = asyncio.ensure_future(client.subscribe("liquidations"))
        await asyncio.sleep(0.1)
        await client.aclose()
        await subscribing
        assert [event async for event in client] == []
        assert asyncio.all_tasks() - {asyncio.current_task()} <= set()

    asyncio.run(check())
