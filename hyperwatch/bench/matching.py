"""Matching: what subscriptions to one wallet each cost an event in the server.

One client receives every event. The figures are the server's CPU time per event: without the wallets' clients, with
them and events of other wallets, and with events that are each sent to the one client of their wallet.
"""

from contextlib import AsyncExitStack

from hyperwatch.bench.comparison import ComparisonResult, FanoutMode, ServerUnderLoad
from hyperwatch.bench.data.event_payloads import EventPayloads
from hyperwatch.bench.environment import BenchEnvironment
from hyperwatch.bench.load.framing import WALLET
from hyperwatch.bench.load.websocket_pool import WebSocketPool
from hyperwatch.bench.processes.server_variants import WALLET_CHANNEL, WalletHubServer
from hyperwatch.bench.report import AtMost, Figure, figure

EVENTS_PER_RUN = 20_000
MAX_COST_US = 50
WITHOUT = FanoutMode("without wallets", 20, 1, EVENTS_PER_RUN)
OTHERS = FanoutMode("other wallets", 20, 1, EVENTS_PER_RUN)
SUBSCRIBED = FanoutMode("wallets", 20, 1, EVENTS_PER_RUN)
QUICK_SCALE = 0.01
SUBSCRIBE = (
    f'{{"type": "subscribe", "channels": ["{WALLET_CHANNEL}"], "params": {{"user_addresses": ["{WALLET.decode()}"]}}}}'
)


async def matching(
    environment: BenchEnvironment, wallets: int, size: int, scale: float
) -> tuple[list[ComparisonResult], list[Figure]]:
    payloads = EventPayloads(environment.seed, size)
    share = scale * (QUICK_SCALE if environment.is_quick else 1)
    async with AsyncExitStack() as stack:
        server = WalletHubServer(environment, wallets)
        stack.enter_context(server.running())
        listener = await stack.enter_async_context(WebSocketPool())
        await listener.connect(1, server.port, subscribe=server.subscribe)
        load = ServerUnderLoad(server, listener, 1, environment.layer())
        # Warm-up.
        await load.run(WITHOUT, payloads, share / 10)
        without = [await load.run(WITHOUT, payloads, share) for _ in range(environment.runs)]
        clients = await stack.enter_async_context(WebSocketPool())
        seconds = await clients.connect(wallets, server.port, subscribe=SUBSCRIBE)
        environment.log(f"{wallets} clients with a wallet each connected in {seconds:.1f} s")
        others = [await load.run(OTHERS, payloads, share) for _ in range(environment.runs)]
        server.is_subscribed = True
        subscribed = [await load.run(SUBSCRIBED, payloads, share) for _ in range(environment.runs)]
    figures = _figures(f"{wallets} clients with one wallet each", without, others, subscribed)
    return [*without, *others, *subscribed], figures


def _figures(group: str, *runs: list[ComparisonResult]) -> list[Figure]:
    without, others, subscribed = ([run.cpu_us for run in one] for one in runs)
    costs = [after - before for after, before in zip(others, without, strict=True)]
    return [
        figure(group, "without them", without, "µs/event"),
        figure(group, "events of other wallets", others, "µs/event"),
        figure(group, "cost of their subscriptions", costs, "µs/event", target=AtMost(MAX_COST_US)),
        figure(group, "events that one of them receives", subscribed, "µs/event"),
    ]
