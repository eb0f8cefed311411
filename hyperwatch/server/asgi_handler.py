"""How requests are answered: by so many threads, each with one lasting connection to the database.

Django gives each request under ASGI a thread of its own, and so each a new connection, or one that is left behind: a
crowd of clients brings PostgreSQL to its limit. Here the number is bounded, whatever the load, and the rest waits.
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

# So long a connection to the database is taken to be alive after a request.
HEALTH_CHECK_FRESH_SECONDS = 1.0


class ThreadedHandler(ASGIHandler):
    """Django's handler for HTTP, with everything that belongs to one answer in one thread."""

    def __init__(self, read_versions: ReadVersions) -> None:
        super().__init__()
        self._threads = ThreadPoolExecutor(
            settings.HTTP_WORKER_THREADS,
            "http",
            partial(set_statement_timeout, settings.DATABASE_STATEMENT_TIMEOUT_SECONDS),
        )
        self._cache = CacheMiddleware(read_versions)
        self._asked = threading.local()

    def load_middleware(self, is_async: bool = False) -> None:
        super().load_middleware(is_async=False)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.handle(scope, receive, send)

    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            answer = await self._cache.handle(scope, partial(self._by_views, scope, receive))
        except RequestAborted:
            return
        if isinstance(answer, HttpReply):
            await self._send_whole(answer, send)
            return
        try:
            await self._send_while_there(answer, receive, send)
        finally:
            await asyncio.get_running_loop().run_in_executor(self._threads, answer.close)

    async def _by_views(self, scope: Any, receive: Any) -> HttpReply | HttpResponseBase:
        answered: Future[HttpReply | HttpResponseBase] = Future()
        with await self.read_body(receive) as body:
            self._threads.submit(self._answer, scope, body, answered)
            return await asyncio.wrap_future(answered)

    def _answer(self, scope: Any, body: IO[bytes], answered: "Future[HttpReply | HttpResponseBase]") -> None:
        """Gives `answered` what there is to send, and does then what nobody has to wait for."""
        if not answered.set_running_or_notify_cancel():
            return
        with response_scope():
            try:
                request, response = self._respond(scope, body)
                answer = response if response.streaming else _whole(request, response)
            except BaseException as error:  # noqa: BLE001 (whoever waits is told)
                answered.set_exception(error)
                return
            answered.set_result(answer)
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
        """Django asks each connection whether it is alive before each request; here, where it may have died since."""
        now, before = time.monotonic(), getattr(self._asked, "at", 0.0)
        cast(Any, connections[DEFAULT_DB_ALIAS]).health_check_done = now - before < HEALTH_CHECK_FRESH_SECONDS
        self._asked.at = now

    async def _send_whole(self, answer: HttpReply, send: Any) -> None:
        # Not by Django's way, which takes a thread to close what is closed.
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        for chunk, is_last in self.chunk_bytes(answer.body):
            await send({"type": "http.response.body", "body": chunk, "more_body": not is_last})

    async def _send_while_there(self, response: HttpResponseBase, receive: Any, send: Any) -> None:
        """Ends with the last chunk, or when the client leaves."""
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


def _whole(request: Any, response: Any) -> HttpReply:
    headers = [(name.encode("ascii"), value.encode("latin1")) for name, value in response.items()]
    headers += [(b"Set-Cookie", c.output(header="").strip().encode("ascii")) for c in response.cookies.values()]
    question = getattr(response, "cache_key", None)
    route, path = (route_label(request), request.path) if request is not None else ("", "")
    return HttpReply(response.status_code, headers, response.content, question, route, path)


def _break_cycles(request: Any, response: Any) -> None:
    """A request, its view and its answer hold each other, and would until the collector comes, which comes seldom."""
    context = getattr(response, "renderer_context", {})
    for one in (request, response, context.get("request"), context.get("view")):
        if one is not None:
            vars(one).clear()
