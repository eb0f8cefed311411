"""gzip for JSON and CSV: negotiated, above a minimum size, and in chunks."""

import gzip
import zlib
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client, RequestFactory

from hyperwatch.middleware.compression import CompressionMiddleware, accepts_gzip
from realtime.rest import csv_export
from realtime.tests.builders import liquidation, stored

pytestmark = pytest.mark.django_db(transaction=True)

TAKES = {"HTTP_ACCEPT_ENCODING": "gzip, deflate, br"}


def get(path: str, **options: Any) -> Any:
    return Client().get(f"/api/v1{path}", **options)


@pytest.fixture
def facts() -> None:
    stored(*(liquidation(raw_data={"tid": tid}) for tid in range(60)))


@pytest.mark.usefixtures("facts")
def test_json_is_compressed_for_those_who_take_it() -> None:
    plain, packed = get("/liquidations?page_size=60"), get("/liquidations?page_size=60", **TAKES)
    assert packed["Content-Encoding"] == "gzip"
    assert packed["Content-Length"] == str(len(packed.content))
    assert len(packed.content) < len(plain.content) / 4
    assert gzip.decompress(packed.content)[:-60] == plain.content[:-60]
    assert "Content-Encoding" not in plain.headers
    for answer in (plain, packed):
        assert {"Accept", "Accept-Encoding"} <= set(answer["Vary"].split(", "))


@pytest.mark.usefixtures("facts")
def test_small_responses_and_pages_stay_uncompressed() -> None:
    for path in ("/whales", "/nothing", "/liquidations?side=UP"):
        answer = get(path, **TAKES)
        assert "Content-Encoding" not in answer.headers
        assert len(answer.content) < 500
        assert "Accept-Encoding" in answer["Vary"]
    assert "Content-Encoding" not in get("/liquidations", HTTP_ACCEPT="text/html", **TAKES).headers
    assert "Content-Encoding" not in Client().get("/metrics", **TAKES).headers  # type: ignore[arg-type]


@pytest.mark.usefixtures("facts")
def test_gzipped_csv_is_one_file_readable_while_streaming(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_export, "CHUNK_ROWS", 20)
    plain, packed = get("/liquidations?format=csv"), get("/liquidations?format=csv", **TAKES)
    assert packed["Content-Encoding"] == "gzip"
    assert not packed.has_header("Content-Length")
    whole, reader = plain.getvalue(), zlib.decompressobj(31)
    pieces = [reader.decompress(piece) for piece in packed]
    assert b"".join(pieces) == whole
    assert reader.eof
    assert [piece.count(b"\r\n") for piece in pieces if piece] == [1, 20, 20, 20]


def test_gzip_weakens_etag_and_keeps_encoded_content() -> None:
    def reported(**headers: str) -> Any:
        answer = HttpResponse(b"x" * 1_000, content_type="application/json", headers=headers)
        return CompressionMiddleware(lambda _: answer)(RequestFactory().get("/api/v1/coins", **TAKES))  # type: ignore[arg-type]

    assert reported(ETag='"abc"')["ETag"] == 'W/"abc"'
    assert reported(ETag='W/"abc"')["ETag"] == 'W/"abc"'
    packed = reported(**{"Content-Encoding": "gzip", "ETag": '"abc"'})
    assert (packed.content, packed["ETag"]) == (b"x" * 1_000, '"abc"')


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("gzip", True),
        ("GZIP;q=1.0", True),
        ("br, gzip;q=0.001", True),
        ("*", True),
        ("deflate, *;q=0.5", True),
        ("", False),
        ("identity", False),
        ("deflate, br", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000, *", False),
        ("*;q=0", False),
        ("notgzip", False),
    ],
)
def test_gzip_is_taken_where_the_header_says_so(header: str, taken: bool) -> None:
    assert accepts_gzip(header) is taken
