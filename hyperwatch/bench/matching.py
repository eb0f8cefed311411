"""Matching: what subscriptions to one wallet each cost an event in the server.

One client receives every event, and each event is that of one wallet. The figure is the server's CPU time per event
with the wallets' clients less that without them: the lookup, and the frame to the one client of the wallet.
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
WITH = FanoutMode("wallets", 20, 1, EVENTS_PER_RUN)
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
        subscribed = [await load.run(WITH, payloads, share) for _ in range(environment.runs)]
    return [*without, *subscribed], _figures(wallets, without, subscribed)


def _figures(wallets: int, without: list[ComparisonResult], subscribed: list[ComparisonResult]) -> list[Figure]:
    group = f"{wallets} clients with one wallet each"
    before, after = [run.cpu_us for run in without], [run.cpu_us for run in subscribed]
    costs = [one - other for one, other in zip(after, before, strict=True)]
    return [
        figure(group, "without them", before, "µs/event"),
        figure(group, "with them", after, "µs/event"),
        figure(group, "cost of their subscriptions", costs, "µs/event", target=AtMost(MAX_COST_US)),
    ]
