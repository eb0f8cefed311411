"""gzip for what the API answers in JSON and CSV.

Django's own middleware compresses whatever there is, pages with their CSRF tokens too, and makes a file of its own of
each piece of a stream, of which many clients read only the first.
"""

import asyncio
import gzip
import re
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.utils.cache import patch_vary_headers

# No answer of these has both a secret and what a stranger can put beside it, so its length betrays nothing.
COMPRESSIBLE_TYPES = ("application/json", "text/csv")
# Bytes, below which nothing is gained.
MIN_COMPRESSED_BYTES = 500
# On our rows the next levels gain a tenth, and cost twice as much.
GZIP_LEVEL = 1
# zlib's name for gzip's frame around a full window.
GZIP_WINDOW = 16 + zlib.MAX_WBITS
NOTHING = re.compile(r"q=0(\.0{0,3})?", re.ASCII)


class CompressionMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        if request.path.startswith("/api/"):
            # A 304 and a small answer are for those who take gzip as for those who do not.
            patch_vary_headers(response, ["Accept-Encoding"])
            if takes_gzip(request.headers.get("Accept-Encoding", "")) and _is_ours(response):
                _compress(response)
        return response


def takes_gzip(header: str) -> bool:
    """Whether an Accept-Encoding (RFC 9110, 12.5.3) takes gzip."""
    parts = [part.partition(";") for part in header.lower().replace(" ", "").split(",")]
    weights = {coding: weight for coding, _, weight in parts}
    weight = weights.get("gzip", weights.get("*"))
    return weight is not None and not NOTHING.fullmatch(weight)


def _is_ours(response: HttpResponseBase) -> bool:
    return response.get("Content-Type", "").startswith(COMPRESSIBLE_TYPES) and not response.has_header(
        "Content-Encoding"
    )


def _compress(response: Any) -> None:
    if response.streaming:
        pieces = response.streaming_content
        response.streaming_content = _packed_async(pieces) if response.is_async else _packed_pieces(pieces)
    elif len(response.content) < MIN_COMPRESSED_BYTES:
        return
    else:
        response.content = compress(response.content)
        response["Content-Length"] = str(len(response.content))
    response["Content-Encoding"] = "gzip"
    if response.get("ETag", "").startswith('"'):
        # The bytes are others, what they say is the same (RFC 9110, 8.8.1).
        response["ETag"] = f"W/{response['ETag']}"


def compress(body: bytes) -> bytes:
    return gzip.compress(body, GZIP_LEVEL, mtime=0)


class _Packer:
    """One gzip file of many pieces, each of which can be read once it has arrived."""

    def __init__(self) -> None:
        self._zlib = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP_WINDOW)

    def piece(self, data: bytes) -> bytes:
        return self._zlib.compress(data) + self._zlib.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        return self._zlib.flush()


def _packed_pieces(pieces: Iterable[bytes]) -> Iterator[bytes]:
    packer = _Packer()
    for piece in pieces:
        yield packer.piece(piece)
    yield packer.end()


async def _packed_async(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    packer = _Packer()
    async for piece in pieces:
        # Not on the event loop, where everybody would wait for it.
        yield await asyncio.to_thread(packer.piece, piece)
    yield packer.end()
