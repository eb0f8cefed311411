"""Who listens by a key, for as long as it counts: a socket stays open for days, and a key is revoked in a moment."""

import asyncio

from hyperwatch.api.keys import KeysAway, prefix_of, that_count
from realtime.followers import Client
from realtime.protocol import CloseCode

LOOK_SECONDS = 5.0


class Bearers:
    """Those of this process; whose key does not count any more is sent away."""

    def __init__(self) -> None:
        self._keys: dict[Client, str] = {}
        self._looks: asyncio.Task[None] | None = None

    def enter(self, client: Client, token: str) -> None:
        self._keys[client] = prefix_of(token)
        if self._looks is None:
            self._looks = asyncio.create_task(self._look_now_and_then())

    def leave(self, client: Client) -> None:
        self._keys.pop(client, None)

    async def _look_now_and_then(self) -> None:
        try:
            while self._keys:
                await asyncio.sleep(LOOK_SECONDS)
                await self._look()
        finally:
            # Whatever ended it: who enters next begins it anew.
            self._looks = None

    async def _look(self) -> None:
        try:
            counting = await that_count(set(self._keys.values()))
        except KeysAway:
            # Nobody is sent away for what nobody knows.
            return
        for client, key in list(self._keys.items()):
            if key not in counting:
                client.go_away(CloseCode.UNAUTHORISED)


bearers = Bearers()
