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
from hyperwatch.server.websocket import WebSocket, with_our_protocol

# A module in place of an object, which no type checker sees through.
reactor: Any = installed_reactor

# Daphne cuts a WebSocket after a day otherwise.
NEVER = -1
# The server goes, the client is to come again (RFC 6455, 7.4.1).
GOING_AWAY = 1001
# Connections that wait to be taken. Beyond Twisted's 50 a crowd that comes back at once waits for its system to try
# again, after one, three, seven seconds, or is reset.
BACKLOG = 4096
ACCEPTS = 8
# Seconds in which a request that has arrived may still be answered at the end.
GRACE = 1.0


class CannotListenError(Exception):
    """The address of the settings cannot be served; the text says what to do."""


class WebServer(Server):  # type: ignore[misc]
    """Daphne's server with an end in order: no new connections, answers to what was asked, then the rest."""

    could_listen = True
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
        # Daphne makes the factories itself, in `run`, and asks nobody what protocols they are to build.
        self._ws_factory = with_our_protocol(factory)

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        if isinstance(protocol, WebSocket):
            scope["extensions"] = {"connection": protocol}
        return super().create_application(protocol, scope)

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        """ASGI's `send`: of an HTTP answer it returns when the client has taken enough for more to be made."""
        await super().handle_reply(protocol, message)
        if isinstance(protocol, Request):
            await protocol.drained()

    def listen_success(self, port: Any) -> None:
        self.ports += (port,)
        _limit_accepts(port)
        super().listen_success(port)

    def listen_error(self, failure: Failure) -> None:
        self.could_listen = False
        super().listen_error(failure)

    def kill_all_applications(self) -> Deferred[None]:
        return Deferred.fromFuture(asyncio.ensure_future(self._graceful_shutdown()))

    async def _graceful_shutdown(self) -> None:
        for port in self.ports:
            await maybeDeferred(port.stopListening).asFuture(loop())
        if answers := self._unanswered():
            await asyncio.wait(answers, timeout=GRACE)
        await self._close_websockets()
        # For up to a second after a request or a handshake its connection has no application, which daphne
        # takes for granted.
        for details in self.connections.values():
            details.setdefault("application_instance", _nothing())
        await super().kill_all_applications().asFuture(loop())

    async def _close_websockets(self) -> None:
        """Closes every WebSocket with 1001, behind what is on its way; waits a little for the clients' answers."""
        sockets = [one for one in self.connections if isinstance(one, WebSocket) and one.state == one.STATE_OPEN]
        for one in sockets:
            one.serverClose(GOING_AWAY)
        until = time.monotonic() + GRACE
        # Autobahn tells nobody when a close handshake has ended.
        while time.monotonic() < until and any(one.state != one.STATE_CLOSED for one in sockets):  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    def _unanswered(self) -> list[asyncio.Future[None]]:
        requests = (details for of, details in self.connections.items() if isinstance(of, WebRequest))
        applications = (details.get("application_instance") for details in requests)
        return [one for one in applications if one is not None and not one.done()]


def _limit_accepts(port: Any) -> None:
    """Twisted takes a hundred connections and more in a turn of the loop, and all others wait for their handshakes."""
    take = port.doRead

    def take_few() -> None:
        port.numberAccepts = ACCEPTS
        take()

    port.doRead = take_few


def _nothing() -> asyncio.Future[None]:
    done: asyncio.Future[None] = loop().create_future()
    done.set_result(None)
    return done


def loop() -> asyncio.AbstractEventLoop:
    """The event loop on which the server runs or will run."""
    return cast(asyncio.AbstractEventLoop, twisted_loop)


def ensure_bindable(host: str, port: int) -> None:
    """Raises CannotListenError where `serve` could not listen."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        advice = {
            errno.EADDRINUSE: f"Port {port} is taken: set another, such as PORT={port + 1}",
            errno.EACCES: f"Port {port} needs rights that this user lacks: set another, such as PORT=8080",
        }
        hint = advice.get(error.errno or 0, f"SERVER_HOST={host} cannot be listened on ({error.strerror})")
        raise CannotListenError(hint) from error


def serve(on_start: Callable[[], None] | None = None, before_end: Callable[[], None] | None = None) -> None:
    """Serves until SIGINT, SIGTERM or `end`; raises CannotListenError.

    `on_start` is called when connections are taken; `before_end`, in a thread, while they still are.
    """
    host, port = settings.SERVER_HOST, settings.SERVER_PORT
    ensure_bindable(host, port)
    settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)
    server = WebServer(
        import_string(settings.ASGI_APPLICATION),
        endpoints=[f"{where}:backlog={BACKLOG}" for where in build_endpoint_description_strings(host=host, port=port)],
        websocket_timeout=NEVER,
        websocket_max_message_size=settings.WEBSOCKET_MAX_MESSAGE_BYTES,
        ping_interval=settings.WEBSOCKET_PING_INTERVAL_SECONDS,
        ping_timeout=settings.WEBSOCKET_PING_TIMEOUT_SECONDS,
    )
    if on_start:
        reactor.callWhenRunning(on_start)
    if before_end:
        reactor.addSystemEventTrigger("before", "shutdown", deferToThread, before_end)
    EVENT_LOOP_TASKS.set_function(lambda: len(asyncio.all_tasks(loop())))
    tune_gc()
    server.run()
    if not server.could_listen:
        raise CannotListenError(f"Nothing could listen on {host}, port {port}")


def stop() -> None:
    """Ends `serve`, from any thread, however often it is called."""
    reactor.callFromThread(_stop)


def exit_process(code: int) -> NoReturn:
    """Ends the process of a server that has ended.

    Threads of requests that were cut off wait for an event loop that runs no more, and the interpreter would
    wait for them.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _stop() -> None:
    with contextlib.suppress(ReactorNotRunning):
        reactor.stop()
