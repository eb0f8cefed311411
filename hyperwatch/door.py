"""What stands before the views: it counts who comes, and answers at once what is kept.

Whoever asks what was asked before, and comes without a key or a session, gets the answer without a thread, a request
or a view of Django's. Its headers are those that the views' own answer to such a request had; only what tells of this
very moment is put in anew. Whatever is not plain goes on to the views.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

from cachetools import LRUCache
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpResponseBase

from hyperwatch.api import clock
from hyperwatch.api.envelope import Draft
from hyperwatch.api.kept import Kept, Question, Version, kept_answers
from hyperwatch.api.throttling import COUNTED, ReadThrottle, Window, counting, read_rate, stranger
from hyperwatch.compression import SMALL, packed, takes_gzip
from hyperwatch.metrics import RESPONSE_CACHE_HITS
from hyperwatch.middleware import id_of_request, note
from hyperwatch.patience import bound_statements
from hyperwatch.together import Together
from realtime.heads import read_versions

Headers = Sequence[tuple[bytes, bytes]]

API = "/api/v1/"
# Different requests that can be answered at the door, those asked least lately forgotten first.
MOST_FACES = 4_096
# Who sends one of these may be somebody, or sends more than a question.
NOT_PLAIN = {b"authorization", b"cookie", b"transfer-encoding", b"expect"}
# What is told of this very moment.
GZIP = b"\x1f\x8b"
MOMENTARY = (b"content-length", b"etag", b"x-request-id", b"x-ratelimit-")


class Answer(NamedTuple):
    """A whole one. `question` is what it answers, where the answer is kept; `route` and `path` are for the log."""

    status: int
    headers: Headers
    body: bytes
    question: Question | None = None
    route: str = ""
    path: str = ""


class Asked(NamedTuple):
    """What the headers of an answer depend on."""

    method: str
    path: bytes
    query: bytes
    host: bytes
    accept: bytes
    origin: bytes
    # Of the client's connection to the proxy; one by http may have to be redirected.
    forwarded_proto: bytes
    takes_gzip: bool


class Face(NamedTuple):
    """Of the last answer like this by a view: all but what is told of the moment."""

    question: Question
    route: str
    path: str
    headers: Headers
    is_packed: bool


class Visit:
    """A plain read of the API."""

    def __init__(self, scope: Mapping[str, Any], given: Mapping[bytes, bytes]) -> None:
        self.began = time.perf_counter()
        self.given = given
        self.method = scope["method"]
        self.asked = Asked(
            self.method,
            scope["raw_path"],
            scope["query_string"],
            given.get(b"host", b""),
            given.get(b"accept", b""),
            given.get(b"origin", b""),
            given.get(b"x-forwarded-proto", b""),
            takes_gzip(self.header(b"accept-encoding")),
        )
        peer = (scope.get("client") or ("",))[0]
        self.window = Window.now(read_rate(settings.THROTTLE_READS))
        self.counter = self.window.counter(ReadThrottle.scope, stranger(self.header(b"x-forwarded-for"), peer))
        # By status.
        self.faces: Mapping[int, Face] = {}

    def header(self, name: bytes) -> str:
        return self.given.get(name, b"").decode("latin1")


class Seen(NamedTuple):
    """Where a visitor's counter stands, and each stream, where somebody asked; all of it read after they came."""

    used: int
    versions: Mapping[str, Version]


class Door:
    def __init__(self) -> None:
        self._reads = ThreadPoolExecutor(
            1, "door", partial(bound_statements, settings.DATABASE_STATEMENT_TIMEOUT_SECONDS)
        )
        self._counts = ThreadPoolExecutor(1, "door-counts")
        self._looks = Together(self._look)
        self._faces: LRUCache[Asked, dict[int, Face]] = LRUCache(MOST_FACES)
        self._making: dict[Question, asyncio.Future[None]] = {}
        self._bodies: dict[tuple[Draft, bool], bytes] = {}

    async def answer(
        self, scope: dict[str, Any], make: Callable[[], Awaitable[Answer | HttpResponseBase]]
    ) -> Answer | HttpResponseBase:
        """What is kept; otherwise what `make` has the views answer."""
        visit = _visit(scope)
        if visit is None:
            return await make()
        visit.faces = self._faces.get(visit.asked, {})
        seen = await self._looks.ask(visit)
        scope[COUNTED] = {visit.counter: seen.used}
        question = next((face.question for face in visit.faces.values()), None)
        if question is None or seen.used > visit.window.rate.limit or not settings.ALLOW_ANONYMOUS_READS:
            return self._learned(visit, await make())
        return self._known(visit, question, seen) or await self._made(visit, question, seen, make)

    def _known(self, visit: Visit, question: Question, seen: Seen) -> Answer | None:
        version = seen.versions.get(question.stream)
        kept = kept_answers.find(question, version) if version is not None else None
        return self._told(visit, kept, seen) if kept is not None else None

    async def _made(
        self,
        visit: Visit,
        question: Question,
        seen: Seen,
        make: Callable[[], Awaitable[Answer | HttpResponseBase]],
    ) -> Answer | HttpResponseBase:
        """Made once for all who wait for it. The one that is in the making may be too old, the next one is not."""
        for _ in range(2):
            making = self._making.get(question)
            if making is None:
                break
            await asyncio.wait([making])
            if answer := self._known(visit, question, seen):
                return answer
        mine = self._making[question] = asyncio.get_running_loop().create_future()
        try:
            return self._learned(visit, await make())
        finally:
            mine.set_result(None)
            if self._making.get(question) is mine:
                del self._making[question]

    async def _look(self, visits: Sequence[Visit]) -> list[Seen]:
        """Each is counted, and meanwhile the streams' versions are read for those who may be answered by them."""
        loop = asyncio.get_running_loop()
        used = loop.run_in_executor(self._counts, _count, visits)
        is_known = any(visit.faces for visit in visits)
        versions = await loop.run_in_executor(self._reads, _versions) if is_known else {}
        return [Seen(one, versions) for one in await used]

    def _learned(self, visit: Visit, answer: Answer | HttpResponseBase) -> Answer | HttpResponseBase:
        if isinstance(answer, Answer) and answer.question is not None:
            headers = [(name, b"" if name.lower().startswith(MOMENTARY) else value) for name, value in answer.headers]
            is_packed = (b"Content-Encoding", b"gzip") in headers
            face = Face(answer.question, answer.route, answer.path, headers, is_packed)
            self._faces[visit.asked] = {**self._faces.get(visit.asked, {}), answer.status: face}
        return answer

    def _told(self, visit: Visit, kept: Kept, seen: Seen) -> Answer | None:
        """None where no view has answered such a request yet."""
        status = 304 if kept.tag in visit.header(b"if-none-match") else 200
        face = visit.faces.get(status)
        if face is None:
            return None
        body = self._body(kept.draft, visit.asked.takes_gzip) if status == 200 else b""
        if face.is_packed != body.startswith(GZIP):
            return None
        request_id = id_of_request(visit.header(b"x-request-id"))
        told = {
            "Content-Length": str(len(body)),
            "ETag": kept.tag,
            "X-Request-ID": request_id,
            **visit.window.allowance(seen.used).headers(),
        }
        note(request_id, visit.method, face.path, face.route, status, time.perf_counter() - visit.began)
        RESPONSE_CACHE_HITS.inc()
        return Answer(status, _filled(face.headers, told), body)

    def _body(self, draft: Draft, takes_gzip: bool) -> bytes:
        """Those who are answered in one turn of the loop are told the same moment."""
        if not self._bodies:
            asyncio.get_running_loop().call_soon(self._bodies.clear)
        key = (draft, takes_gzip)
        if key not in self._bodies:
            body = draft.at(clock.now())
            self._bodies[key] = packed(body) if takes_gzip and len(body) >= SMALL else body
        return self._bodies[key]


def _filled(headers: Headers, told: Mapping[str, str]) -> Headers:
    values = {name.encode(): value.encode() for name, value in told.items()}
    return [(name, value or values.get(name, b"")) for name, value in headers]


def _visit(scope: Mapping[str, Any]) -> Visit | None:
    given = dict(scope["headers"])
    is_plain = (
        scope["method"] in ("GET", "HEAD")
        and scope["path"].startswith(API)
        and not scope.get("root_path")
        # One that is given twice means both.
        and len(given) == len(scope["headers"])
        and NOT_PLAIN.isdisjoint(given)
        and given.get(b"content-length", b"0") == b"0"
    )
    return Visit(scope, given) if is_plain else None


def _versions() -> Mapping[str, Version]:
    try:
        return read_versions()
    except (DatabaseError, InterfaceError):
        # The views know what to say of it; the next look is by a new connection.
        connection.close()
        return {}


def _count(visits: Sequence[Visit]) -> list[int]:
    """Of those that are counted together each has its own number; 0 where the cache is away."""
    more = Counter(visit.counter for visit in visits)
    stand = counting.count(more, visits[0].window.seconds)
    before = {counter: stand[counter] - amount for counter, amount in more.items()}
    used = []
    for visit in visits:
        before[visit.counter] += 1
        used.append(max(before[visit.counter], 0))
    return used
