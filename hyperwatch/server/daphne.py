"""The web server, for `serve` and `up` alike: daphne on Twisted's asyncio reactor, in the main thread."""

import asyncio
import contextlib
import errno
import logging
import os
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn, cast

from daphne.endpoints import build_endpoint_description_strings
from daphne.http_protocol import WebRequest
from daphne.server import Server, twisted_loop
from django.conf import settings
from django.utils.module_loading import import_string
from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ReactorNotRunning
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from hyperwatch.gc_tuning import tune_gc
from hyperwatch.metrics import EVENT_LOOP_TASKS
from hyperwatch.server.http_request import Request, RequestFactory
from hyperwatch.server.websocket import WebSocket, configure_factory

# Twisted replaces the module by the reactor object at runtime; type checkers see the module.
reactor: Any = installed_reactor

# Daphne's `websocket_timeout`: its default closes a WebSocket after a day.
NO_TIMEOUT = -1
# Close code for a server that shuts down (RFC 6455, 7.4.1); clients reconnect.
GOING_AWAY = 1001
# Connections not accepted yet. Twisted's default is 50. When many clients reconnect at once, the kernel drops further
# SYNs; the clients retransmit after 1, 3 and 7 s, or are reset.
LISTEN_BACKLOG = 4096
MAX_ACCEPTS_PER_TURN = 8
# Time for running requests to complete, and then for WebSocket close handshakes.
SHUTDOWN_GRACE_SECONDS = 1.0


class CannotListenError(Exception):
    """SERVER_HOST and PORT cannot be bound; the text says which setting to change."""


class WebServer(Server):  # type: ignore[misc]
    """Daphne's server with a graceful shutdown: stops accepting, completes requests, then closes WebSockets."""

    is_bound = True
    ports: tuple[Any, ...] = ()

    @property
    def http_factory(self) -> Any:
        return self._http_factory

    @http_factory.setter
    def http_factory(self, _factory: Any) -> None:
        self._http_factory = RequestFactory(self)

    @property
    def ws_factory(self) -> Any:
        return self._ws_factory

    @ws_factory.setter
    def ws_factory(self, factory: Any) -> None:
        # Daphne creates the factories in `run` and has no option for their protocol classes.
        self._ws_factory = configure_factory(factory)

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        if isinstance(protocol, WebSocket):
            scope["extensions"] = {"connection": protocol}
        return super().create_application(protocol, scope)

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        """ASGI's `send`. For HTTP it returns once the transport's buffer has room again (backpressure)."""
        await super().handle_reply(protocol, message)
        if isinstance(protocol, Request):
            await protocol.drained()

    def listen_success(self, port: Any) -> None:
        self.ports += (port,)
        _limit_accepts(port)
        super().listen_success(port)

    def listen_error(self, failure: Failure) -> None:
        self.is_bound = False
        super().listen_error(failure)

    def kill_all_applications(self) -> Deferred[None]:
        return Deferred.fromFuture(asyncio.ensure_future(self._graceful_shutdown()))

    async def _graceful_shutdown(self) -> None:
        for port in self.ports:
            await maybeDeferred(port.stopListening).asFuture(loop())
        if running := self._running_requests():
            await asyncio.wait(running, timeout=SHUTDOWN_GRACE_SECONDS)
        await self._close_websockets()
        # Up to 1 s after a request or a handshake the connection has no application, and daphne's
        # `kill_all_applications` raises KeyError.
        for details in self.connections.values():
            details.setdefault("application_instance", _completed_future())
        await super().kill_all_applications().asFuture(loop())

    async def _close_websockets(self) -> None:
        """Closes every WebSocket with 1001 after its buffered frames; waits SHUTDOWN_GRACE_SECONDS for the replies."""
        sockets = [one for one in self.connections if isinstance(one, WebSocket) and one.state == one.STATE_OPEN]
        for one in sockets:
            one.serverClose(GOING_AWAY)
        deadline = time.monotonic() + SHUTDOWN_GRACE_SECONDS
        # Autobahn has no event for the end of a close handshake.
        while time.monotonic() < deadline and any(one.state != one.STATE_CLOSED for one in sockets):  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    def _running_requests(self) -> list[asyncio.Future[None]]:
        requests = (details for of, details in self.connections.items() if isinstance(of, WebRequest))
        applications = (details.get("application_instance") for details in requests)
        return [one for one in applications if one is not None and not one.done()]


def _limit_accepts(port: Any) -> None:
    """Accepts few connections in a turn of the event loop.

    Twisted accepts more than a hundred a turn, which delays the handshakes of all other connections.
    """
    accept = port.doRead

    def accept_few() -> None:
        port.numberAccepts = MAX_ACCEPTS_PER_TURN
        accept()

    port.doRead = accept_few


def _completed_future() -> asyncio.Future[None]:
    done: asyncio.Future[None] = loop().create_future()
    done.set_result(None)
    return done


def loop() -> asyncio.AbstractEventLoop:
    """The event loop on which the server runs or will run."""
    return cast(asyncio.AbstractEventLoop, twisted_loop)


def ensure_bindable(host: str, port: int) -> None:
    """Raises CannotListenError if `serve` could not bind the address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        hints = {
            errno.EADDRINUSE: f"Port {port} is in use: set another one, such as PORT={port + 1}",
            errno.EACCES: f"Port {port} needs privileges that this user lacks: set another one, such as PORT=8080",
        }
        hint = hints.get(error.errno or 0, f"SERVER_HOST={host} cannot be bound ({error.strerror}): set another one")
        raise CannotListenError(hint) from error


def serve(on_start: Callable[[], None] | None = None, before_stop: Callable[[], None] | None = None) -> None:
    """Serves until SIGINT, SIGTERM or `stop`; raises CannotListenError.

    `on_start` is called once the server listens; `before_stop` in a thread, while it still does.
    """
    host, port = settings.SERVER_HOST, settings.SERVER_PORT
    ensure_bindable(host, port)
    settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)
    endpoints = build_endpoint_description_strings(host=host, port=port)
    server = WebServer(
        import_string(settings.ASGI_APPLICATION),
        endpoints=[f"{endpoint}:backlog={LISTEN_BACKLOG}" for endpoint in endpoints],
        websocket_timeout=NO_TIMEOUT,
        websocket_max_message_size=settings.WEBSOCKET_MAX_MESSAGE_BYTES,
        ping_interval=settings.WEBSOCKET_PING_INTERVAL_SECONDS,
        ping_timeout=settings.WEBSOCKET_PING_TIMEOUT_SECONDS,
    )
    if on_start:
        reactor.callWhenRunning(on_start)
    if before_stop:
        reactor.addSystemEventTrigger("before", "shutdown", deferToThread, before_stop)
    EVENT_LOOP_TASKS.set_function(lambda: len(asyncio.all_tasks(loop())))
    tune_gc()
    server.run()
    if not server.is_bound:
        raise CannotListenError(f"The server could not bind {host}, port {port}: set another SERVER_HOST or PORT")


def stop() -> None:
    """Stops `serve`. Idempotent; may be called from any thread."""
    reactor.callFromThread(_stop)


def exit_process(code: int) -> NoReturn:
    """Exits without joining threads, after `serve` has returned.

    Threads of cancelled requests wait for the stopped event loop, and the interpreter's exit would wait for them.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _stop() -> None:
    with contextlib.suppress(ReactorNotRunning):
        reactor.stop()
