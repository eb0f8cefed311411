"""Closes WebSockets whose API key was revoked or has expired: a connection may stay open for days after the check."""

import asyncio

from hyperwatch.api.keys import AuthUnavailable, prefix_of, usable_keys
from realtime.delivery.subscribers import Client
from realtime.protocol.vocabulary import CloseCode

KEY_CHECK_INTERVAL_SECONDS = 5.0


class KeyWatcher:
    """Checks the keys of all connections of this process with one query an interval; idle without keys."""

    def __init__(self) -> None:
        self._keys: dict[Client, str] = {}
        self._polling: asyncio.Task[None] | None = None

    def watch(self, client: Client, token: str) -> None:
        self._keys[client] = prefix_of(token)
        if self._polling is None:
            self._polling = asyncio.create_task(self._poll())

    def unwatch(self, client: Client) -> None:
        self._keys.pop(client, None)

    async def _poll(self) -> None:
        try:
            while self._keys:
                await asyncio.sleep(KEY_CHECK_INTERVAL_SECONDS)
                await self._check()
        finally:
            # Also after an error: the next `watch` starts a new task.
            self._polling = None

    async def _check(self) -> None:
        try:
            usable = await usable_keys(set(self._keys.values()))
        except AuthUnavailable:
            # The keys may all be valid: connections stay until the database answers.
            return
        for client, key in list(self._keys.items()):
            if key not in usable:
                client.close_with(CloseCode.UNAUTHORISED)


key_watcher = KeyWatcher()
