"""gzip compression of the API's JSON and CSV responses.

Django's GZipMiddleware also compresses pages with CSRF tokens. It writes each chunk of a stream as a gzip file of its
own, and many clients decode only the first one.
"""

import asyncio
import gzip
import re
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.utils.cache import patch_vary_headers

# No such response contains both a secret and text of an attacker, so its length leaks nothing (BREACH).
COMPRESSIBLE_TYPES = ("application/json", "text/csv")
# Below this size gzip saves nothing.
MIN_COMPRESSED_BYTES = 500
# On the API's rows, higher levels save a tenth more and take twice as long.
GZIP_LEVEL = 1
# zlib's wbits for the largest window with a gzip header (16 is the flag for gzip).
GZIP_WINDOW_BITS = 16 + zlib.MAX_WBITS
ZERO_WEIGHT = re.compile(r"q=0(\.0{0,3})?", re.ASCII)


class CompressionMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        if request.path.startswith("/api/"):
            # Also on a 304 and on small responses: caches must store them by Accept-Encoding, too.
            patch_vary_headers(response, ["Accept-Encoding"])
            if accepts_gzip(request.headers.get("Accept-Encoding", "")) and _is_compressible(response):
                _compress_response(response)
        return response


def accepts_gzip(header: str) -> bool:
    """Whether an Accept-Encoding header (RFC 9110, 12.5.3) accepts gzip."""
    parts = [part.partition(";") for part in header.lower().replace(" ", "").split(",")]
    weights = {coding: weight for coding, _, weight in parts}
    weight = weights.get("gzip", weights.get("*"))
    return weight is not None and not ZERO_WEIGHT.fullmatch(weight)


def _is_compressible(response: HttpResponseBase) -> bool:
    return response.get("Content-Type", "").startswith(COMPRESSIBLE_TYPES) and not response.has_header(
        "Content-Encoding"
    )


def _compress_response(response: Any) -> None:
    if response.streaming:
        chunks = response.streaming_content
        response.streaming_content = _compress_chunks_async(chunks) if response.is_async else _compress_chunks(chunks)
    elif len(response.content) < MIN_COMPRESSED_BYTES:
        return
    else:
        response.content = compress(response.content)
        response["Content-Length"] = str(len(response.content))
    response["Content-Encoding"] = "gzip"
    if response.get("ETag", "").startswith('"'):
        # Equal content in other bytes needs a weak ETag (RFC 9110, 8.8.1).
        response["ETag"] = f"W/{response['ETag']}"


def compress(body: bytes) -> bytes:
    return gzip.compress(body, GZIP_LEVEL, mtime=0)


class _GzipStream:
    """One gzip file of many chunks. The flush after each chunk lets clients decode it at once."""

    def __init__(self) -> None:
        self._zlib = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP_WINDOW_BITS)

    def compress(self, data: bytes) -> bytes:
        return self._zlib.compress(data) + self._zlib.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        return self._zlib.flush()


def _compress_chunks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    stream = _GzipStream()
    for chunk in chunks:
        yield stream.compress(chunk)
    yield stream.end()


async def _compress_chunks_async(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    stream = _GzipStream()
    async for chunk in chunks:
        # In a thread: compression would block the event loop.
        yield await asyncio.to_thread(stream.compress, chunk)
    yield stream.end()
