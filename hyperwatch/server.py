"""The web server, for `serve` and `up` alike: daphne on Twisted's asyncio reactor, in the main thread."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable
from typing import Any, cast

from daphne.endpoints import build_endpoint_description_strings
from daphne.server import Server, twisted_loop
from django.conf import settings
from django.utils.module_loading import import_string
from twisted.internet import reactor as installed_reactor
from twisted.internet.error import ReactorNotRunning
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

# A module in place of an object, which no type checker sees through.
reactor: Any = installed_reactor

# Daphne cuts a WebSocket after a day otherwise.
NEVER = -1


class CannotListenError(Exception):
    """The address of the settings cannot be served; the text says what to do."""


class WebServer(Server):  # type: ignore[misc]
    """Daphne's server without the traps at its end."""

    could_listen = True

    def listen_error(self, failure: Failure) -> None:
        self.could_listen = False
        super().listen_error(failure)

    def kill_all_applications(self) -> Any:
        # For up to a second after a request or a handshake its connection has no application, which daphne
        # takes for granted here.
        finished = loop().create_future()
        finished.set_result(None)
        for details in self.connections.values():
            details.setdefault("application_instance", finished)
        return super().kill_all_applications()


def loop() -> asyncio.AbstractEventLoop:
    """The event loop on which the server runs or will run."""
    return cast(asyncio.AbstractEventLoop, twisted_loop)


def check_address(host: str, port: int) -> None:
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
    check_address(host, port)
    server = WebServer(
        import_string(settings.ASGI_APPLICATION),
        endpoints=build_endpoint_description_strings(host=host, port=port),
        websocket_timeout=NEVER,
    )
    if on_start:
        reactor.callWhenRunning(on_start)
    if before_end:
        reactor.addSystemEventTrigger("before", "shutdown", deferToThread, before_end)
    server.run()
    if not server.could_listen:
        raise CannotListenError(f"Nothing could listen on {host}, port {port}")


def end() -> None:
    """Ends `serve`, from any thread, however often it is called."""
    reactor.callFromThread(_stop)


def _stop() -> None:
    with contextlib.suppress(ReactorNotRunning):
        reactor.stop()
