"""Runs Django views in a bounded thread pool, each thread with one persistent database connection.

Under ASGI, Django runs each request in a thread of its own. Each thread opens a new connection or leaves one open.
A burst of clients then exceeds PostgreSQL's `max_connections`. Here HTTP_WORKER_THREADS is the limit; further
requests wait in the pool's queue.
"""

import asyncio
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import IO, Any, cast

from django.conf import settings
from django.core import signals
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.db import DEFAULT_DB_ALIAS, connections
from django.http import FileResponse, HttpResponseBase
from django.urls import set_script_prefix

from hyperwatch.cache.cache_middleware import CacheMiddleware, HttpReply, ReadVersions
from hyperwatch.concurrency.after_response import response_scope
from hyperwatch.db.statement_timeout import set_statement_timeout
from hyperwatch.middleware.request_log import route_label
from hyperwatch.server.liveness import is_liveness_check, liveness_reply

# A database connection used within this time is not checked again before a request.
HEALTH_CHECK_FRESH_SECONDS = 1.0


class ThreadedHandler(ASGIHandler):
    """Django's handler for HTTP. Middleware, view and rendering of a response run in one thread."""

    def __init__(self, read_versions: ReadVersions) -> None:
        super().__init__()
        self._threads = ThreadPoolExecutor(
            settings.HTTP_WORKER_THREADS,
            "http",
            partial(set_statement_timeout, settings.DATABASE_STATEMENT_TIMEOUT_SECONDS),
        )
        self._cache = CacheMiddleware(read_versions)
        self._last_request = threading.local()

    def load_middleware(self, is_async: bool = False) -> None:
        super().load_middleware(is_async=False)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.handle(scope, receive, send)

    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        if is_liveness_check(scope):
            await self._send_reply(liveness_reply(scope), send)
            return
        try:
            response_or_reply = await self._cache.handle(scope, partial(self._run_in_thread, scope, receive))
        except RequestAborted:
            return
        if isinstance(response_or_reply, HttpReply):
            await self._send_reply(response_or_reply, send)
            return
        try:
            await self._send_stream(response_or_reply, receive, send)
        finally:
            await asyncio.get_running_loop().run_in_executor(self._threads, response_or_reply.close)

    async def _run_in_thread(self, scope: Any, receive: Any) -> HttpReply | HttpResponseBase:
        future: Future[HttpReply | HttpResponseBase] = Future()
        with await self.read_body(receive) as body:
            self._threads.submit(self._run_views, scope, body, future)
            return await asyncio.wrap_future(future)

    def _run_views(self, scope: Any, body: IO[bytes], future: "Future[HttpReply | HttpResponseBase]") -> None:
        """Resolves `future` with the reply or the stream, then runs the `after_response` callbacks and closes."""
        if not future.set_running_or_notify_cancel():
            return
        with response_scope():
            try:
                request, response = self._respond(scope, body)
                response_or_reply = response if response.streaming else _to_reply(request, response)
            except BaseException as error:  # noqa: BLE001 (passed on through the future)
                future.set_exception(error)
                return
            future.set_result(response_or_reply)
        if not response.streaming:
            response.close()
            _break_cycles(request, response)

    def _respond(self, scope: Any, body: IO[bytes]) -> tuple[Any, Any]:
        set_script_prefix(get_script_prefix(scope))
        signals.request_started.send(sender=self.__class__, scope=scope)
        self._skip_recent_health_check()
        request, error = self.create_request(scope, body)
        response: Any = self.get_response(request) if request is not None else error
        response._handler_class = self.__class__
        if isinstance(response, FileResponse):
            response.block_size = self.chunk_size
        return request, response

    def _skip_recent_health_check(self) -> None:
        """Skips Django's check of the connection (`SELECT 1` before each request) after recent use."""
        now, previous = time.monotonic(), getattr(self._last_request, "at", 0.0)
        cast(Any, connections[DEFAULT_DB_ALIAS]).health_check_done = now - previous < HEALTH_CHECK_FRESH_SECONDS
        self._last_request.at = now

    async def _send_reply(self, reply: HttpReply, send: Any) -> None:
        # Django's `send_response` would take a thread to close a response that is closed already.
        await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
        for chunk, is_last in self.chunk_bytes(reply.body):
            await send({"type": "http.response.body", "body": chunk, "more_body": not is_last})

    async def _send_stream(self, response: HttpResponseBase, receive: Any, send: Any) -> None:
        """Ends with the last chunk, or when the client disconnects."""
        tasks = [
            asyncio.ensure_future(self.send_response(response, send)),
            asyncio.ensure_future(self.listen_for_disconnect(receive)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if tasks[0] in done:
                tasks[0].result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _to_reply(request: Any, response: Any) -> HttpReply:
    headers = [(name.encode("ascii"), value.encode("latin1")) for name, value in response.items()]
    headers += [(b"Set-Cookie", c.output(header="").strip().encode("ascii")) for c in response.cookies.values()]
    cache_key = getattr(response, "cache_key", None)
    route, path = (route_label(request), request.path) if request is not None else ("", "")
    return HttpReply(response.status_code, headers, response.content, cache_key, route, path)


def _break_cycles(request: Any, response: Any) -> None:
    """Breaks the cycles of request, view and response: full garbage collections are rare (gc_tuning.py)."""
    context = getattr(response, "renderer_context", {})
    for one in (request, response, context.get("request"), context.get("view")):
        if one is not None:
            vars(one).clear()
