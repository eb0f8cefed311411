"""The WebSocket protocol, byte by byte (RFC 6455): valid input works, the rest gets the right close code.

Beside each case a neighbour is subscribed on the same server, and goes on.
"""

import itertools
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.tests.services import commands
from hyperwatch.tests.services.waiting import wait_until
from realtime.tests.rawsocket import (
    PING,
    Opcode,
    RawSocket,
    close,
    connected,
    frame,
    more,
    opened,
    request,
    text,
)
from realtime.tests.websocket_client import Client, client, leaving_nothing, metric

# For the server's sake: no case stores anything.
pytestmark = pytest.mark.django_db

FRAME_BYTES = 65536

BAD_UTF8 = {
    "a continuation byte alone": b"\x80",
    "the last continuation byte alone": b"\xbf",
    "a lead of two alone": b"\xc3",
    "a lead of three with one": b"\xe2\x82",
    "a lead of four with two": b"\xf0\x9f\x98",
    "a slash in two bytes": b"\xc0\xaf",
    "a delete in two bytes": b"\xc1\xbf",
    "a slash in three bytes": b"\xe0\x80\xaf",
    "the longest overlong of three": b"\xe0\x9f\xbf",
    "a slash in four bytes": b"\xf0\x80\x80\xaf",
    "the longest overlong of four": b"\xf0\x8f\xbf\xbf",
    "the first surrogate": b"\xed\xa0\x80",
    "the last surrogate": b"\xed\xbf\xbf",
    "a pair of surrogates": b"\xed\xa0\xbd\xed\xb8\x80",
    "beyond the last code point": b"\xf4\x90\x80\x80",
    "a lead of five": b"\xf8\x88\x80\x80\x80",
    "a lead of six": b"\xfc\x84\x80\x80\x80\x80",
    "FE": b"\xfe",
    "FF": b"\xff",
}
GOOD_UTF8 = ["\x7f", "\x80", "é", "\u07ff", "\u0800", "€", "\ud7ff", "\ue000", "\ufffe", "\uffff", "😀", "\U0010ffff"]


@pytest.fixture(scope="module")
def server(test_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppProcess]:
    """One for all; in the end no connection is left of what the cases did to it."""
    folder = tmp_path_factory.mktemp("web")
    limits = {"WEBSOCKET_MAX_MESSAGE_BYTES": str(FRAME_BYTES), "WEBSOCKET_MESSAGE_RATE": "1000000/minute"}
    limits["WEBSOCKET_COMPRESSION"] = "true"
    with commands.running("serve", folder, DATABASE_URL=test_database_url, **limits) as start:
        process = start()
        with leaving_nothing(process):
            yield process


@pytest.fixture(scope="module")
def lasting_neighbour(server: AppProcess) -> Iterator[Client]:
    with client(server.ws_url) as neighbour:
        neighbour.subscribe("liquidations")
        yield neighbour


@pytest.fixture(autouse=True)
def _neighbour(lasting_neighbour: Client) -> Iterator[None]:
    """A client that no case may affect."""
    yield
    assert lasting_neighbour.ask(type="ping")["type"] == "pong"
    assert lasting_neighbour.ask(type="get_subscriptions")["channels"] == ["liquidations"]


@pytest.fixture
def raw(server: AppProcess) -> Iterator[RawSocket]:
    with opened(server.port) as raw:
        yield raw


def padded(size: int) -> bytes:
    """A `ping` request of exactly so many bytes."""
    start, end = b'{"type": "ping", "padding": "', b'"}'
    return start + b"x" * (size - len(start) - len(end)) + end


def saying(what: bytes) -> bytes:
    """A `ping` request with extra bytes."""
    return b'{"type": "ping", "what": "' + what + b'"}'


def check_answer(raw: RawSocket) -> None:
    """Checks that the next message is the answer to a `ping` request."""
    assert raw.json()["type"] == "pong"


def check_lives(raw: RawSocket) -> None:
    raw.send(text())
    check_answer(raw)


def closing_code(raw: RawSocket) -> int | None:
    """The code of the server's close; it is answered, and the server ends the connection cleanly."""
    said = raw.next()
    assert said is not None, "the server says why"
    assert said.opcode == Opcode.CLOSE, said
    assert len(said.payload) <= 125
    said.payload[2:].decode()
    with suppress(ConnectionError):
        # It may have gone already.
        raw.send(close(said.code))
    assert raw.ended()
    return said.code


# 1 Framing

SIZES = [60, 125, 126, 127, 128, 1_000, 32_767, 65_535, FRAME_BYTES]


@pytest.mark.parametrize("size", SIZES)
def test_text_up_to_the_limit_is_accepted(raw: RawSocket, size: int) -> None:
    raw.send(text(padded(size)))
    check_answer(raw)


def test_empty_text_is_an_invalid_message(raw: RawSocket) -> None:
    raw.send(text(b""))
    assert raw.json()["code"] == "INVALID_MESSAGE"
    check_lives(raw)


@pytest.mark.parametrize("size", [0, *SIZES])
def test_binary_of_any_length_is_an_invalid_message(raw: RawSocket, size: int) -> None:
    raw.send(frame(Opcode.BINARY, b"\xfe" * size))
    assert raw.json()["code"] == "INVALID_MESSAGE"
    check_lives(raw)


@pytest.mark.parametrize("piece", [1, 2, 3, 7])
def test_a_frame_that_comes_in_pieces_is_taken(raw: RawSocket, piece: int) -> None:
    raw.dribble(text(padded(130)), piece)
    check_answer(raw)


def test_large_frames_that_come_in_pieces_are_taken(raw: RawSocket) -> None:
    raw.dribble(text(padded(FRAME_BYTES)) + text(), 997)
    check_answer(raw)
    check_answer(raw)


def test_many_frames_in_one_segment_are_all_answered(raw: RawSocket) -> None:
    raw.send(text() * 500)
    for _ in range(500):
        check_answer(raw)


def test_requests_are_answered_in_their_order(raw: RawSocket) -> None:
    types = [b"ping", b"hello", b"get_subscriptions", b"dance"] * 20
    raw.send(*(text(b'{"type": "' + name + b'"}') for name in types))
    answers = [raw.json()["type"] for _ in types]
    assert answers == ["pong", "connected", "subscriptions", "error"] * 20


@pytest.mark.parametrize("mask", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x80\0\0\x01"])
def test_any_mask_is_taken(raw: RawSocket, mask: bytes) -> None:
    raw.send(text(mask=mask), text(padded(70_000 - FRAME_BYTES // 2), mask=mask))
    check_answer(raw)
    check_answer(raw)


@pytest.mark.parametrize("opcode", [*Opcode], ids=lambda opcode: opcode.name)
@pytest.mark.parametrize("payload", [b"", PING], ids=["empty", "full"])
def test_a_frame_without_a_mask_is_1002(raw: RawSocket, opcode: Opcode, payload: bytes) -> None:
    raw.send(frame(opcode, payload, mask=None))
    assert closing_code(raw) == 1002


@pytest.mark.parametrize(
    "data",
    [
        text(padded(60), width=2),
        text(padded(125), width=2),
        text(b"", width=2),
        text(padded(60), width=8),
        text(padded(126), width=8),
        text(padded(65_535), width=8),
        frame(Opcode.PING, b"hi", width=2),
        frame(Opcode.PING, b"hi", width=8),
        text(width=8, length=2**63),
        text(width=8, length=2**64 - 1),
    ],
    ids=[
        "60 in 2",
        "125 in 2",
        "0 in 2",
        "60 in 8",
        "126 in 8",
        "65535 in 8",
        "ping in 2",
        "ping in 8",
        "2^63",
        "2^64-1",
    ],
)
def test_non_minimal_length_closes_with_1002(raw: RawSocket, data: bytes) -> None:
    raw.send(data)
    assert closing_code(raw) == 1002


# 2 Pings and pongs


@pytest.mark.parametrize("payload", [b"", b"hello", b"\0\xff\xfe\x80", b"x" * 125], ids=["0", "text", "binary", "125"])
def test_a_ping_is_answered_with_its_payload(raw: RawSocket, payload: bytes) -> None:
    raw.send(frame(Opcode.PING, payload))
    pong = raw.next()
    assert pong is not None
    assert (pong.opcode, pong.payload) == (Opcode.PONG, payload)
    check_lives(raw)


def test_a_ping_that_comes_byte_by_byte_is_answered(raw: RawSocket) -> None:
    raw.dribble(frame(Opcode.PING, b"x" * 125))
    pong = raw.next()
    assert pong is not None
    assert (pong.opcode, pong.payload) == (Opcode.PONG, b"x" * 125)


@pytest.mark.parametrize("opcode", [Opcode.PING, Opcode.PONG, Opcode.CLOSE], ids=lambda opcode: opcode.name)
@pytest.mark.parametrize("size", [126, 65_536])
def test_control_frame_above_125_bytes_closes_with_1002(raw: RawSocket, opcode: Opcode, size: int) -> None:
    raw.send(frame(opcode, b"\x03\xe8" + b"x" * (size - 2)))
    assert closing_code(raw) == 1002


def test_pongs_that_nobody_asked_for_are_ignored(raw: RawSocket) -> None:
    raw.send(frame(Opcode.PONG), frame(Opcode.PONG, b"unasked"), frame(Opcode.PONG, b"x" * 125))
    check_lives(raw)


def test_many_pings_at_once_are_answered_in_their_order(raw: RawSocket) -> None:
    raw.send(*(frame(Opcode.PING, b"%d" % number) for number in range(200)))
    pongs = [raw.next() for _ in range(200)]
    assert [pong and pong.payload for pong in pongs] == [b"%d" % number for number in range(200)]


def test_outrunning_pings_are_answered_by_the_latest(server: AppProcess) -> None:
    pings = 40_000
    with opened(server.port, room=4096) as slow:
        for first in range(0, pings, 1000):
            slow.send(*(frame(Opcode.PING, b"%0125d" % number) for number in range(first, first + 1000)))
        # Until the server has parsed them; they fit into the buffers of the kernel.
        time.sleep(2)
        pongs = [slow.next()]
        while pongs[-1] is not None and pongs[-1].payload != b"%0125d" % (pings - 1):
            pongs.append(slow.next())
        numbers = [int(pong.payload) for pong in pongs if pong]
        assert numbers == sorted(numbers)
        assert len(numbers) < pings // 2
        check_lives(slow)


# 3 Reserved bits, 4 opcodes


@pytest.mark.parametrize("rsv", range(1, 8))
@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY, Opcode.PING, Opcode.CLOSE], ids=lambda code: code.name)
def test_a_reserved_bit_is_1002(raw: RawSocket, opcode: Opcode, rsv: int) -> None:
    check_lives(raw)
    raw.send(frame(opcode, rsv=rsv))
    assert closing_code(raw) == 1002


@pytest.mark.parametrize("rsv", [1, 2, 4])
def test_a_reserved_bit_in_a_continuation_is_1002(raw: RawSocket, rsv: int) -> None:
    raw.send(text(PING[:5], fin=False), more(PING[5:], rsv=rsv))
    assert closing_code(raw) == 1002


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
@pytest.mark.parametrize("payload", [b"", PING], ids=["empty", "full"])
def test_a_reserved_opcode_is_1002(raw: RawSocket, opcode: int, payload: bytes) -> None:
    check_lives(raw)
    raw.send(frame(opcode, payload), text())
    assert closing_code(raw) == 1002


def test_a_reserved_opcode_byte_by_byte_is_1002(raw: RawSocket) -> None:
    raw.dribble(frame(3)[:2])
    assert closing_code(raw) == 1002


# 5 Fragments


def fragments(payload: bytes, size: int, opcode: int = Opcode.TEXT) -> list[bytes]:
    parts = [payload[at : at + size] for at in range(0, len(payload), size)]
    return [
        frame(Opcode.CONTINUATION if at else opcode, part, fin=at == len(parts) - 1) for at, part in enumerate(parts)
    ]


@pytest.mark.parametrize(
    ("size", "fragment"), [(60, 1), (60, 59), (5_000, 1), (FRAME_BYTES, 256), (FRAME_BYTES, 65_535)]
)
def test_a_text_in_fragments_is_one_request(raw: RawSocket, size: int, fragment: int) -> None:
    raw.send(*fragments(padded(size), fragment))
    check_answer(raw)
    check_lives(raw)


def test_empty_fragments_are_taken(raw: RawSocket) -> None:
    raw.send(text(b"", fin=False), more(b"", fin=False), more(PING, fin=False), more(b"", fin=False), more(b""))
    check_answer(raw)


def test_empty_fragments_are_an_invalid_message(raw: RawSocket) -> None:
    raw.send(text(b"", fin=False), more(b"", fin=False), more(b""))
    assert raw.json()["code"] == "INVALID_MESSAGE"
    check_lives(raw)


def test_fragmented_binary_is_an_invalid_message(raw: RawSocket) -> None:
    raw.send(*fragments(b"\xff" * 100, 33, Opcode.BINARY))
    assert raw.json()["code"] == "INVALID_MESSAGE"
    check_lives(raw)


def test_a_ping_between_fragments_is_answered_before_they_are(raw: RawSocket) -> None:
    first, second, third = fragments(padded(90), 30)
    raw.send(first, frame(Opcode.PING, b"one"), frame(Opcode.PONG), second, frame(Opcode.PING, b"two"))
    for payload in (b"one", b"two"):
        pong = raw.next()
        assert pong is not None
        assert (pong.opcode, pong.payload) == (Opcode.PONG, payload)
    raw.send(third)
    check_answer(raw)


def test_control_frames_between_fragments_byte_by_byte_change_nothing(raw: RawSocket) -> None:
    raw.dribble(b"".join(part + frame(Opcode.PING, b"x") for part in fragments(padded(60), 20)))
    frames = [raw.next() for _ in range(4)]
    opcodes = [found and found.opcode for found in frames]
    assert sorted(opcodes, key=str) == [Opcode.TEXT, *[Opcode.PONG] * 3]
    assert opcodes[:2] == [Opcode.PONG] * 2


@pytest.mark.parametrize("opcode", [Opcode.PING, Opcode.PONG, Opcode.CLOSE], ids=lambda opcode: opcode.name)
def test_a_control_frame_in_fragments_is_1002(raw: RawSocket, opcode: Opcode) -> None:
    raw.send(frame(opcode, b"\x03\xe8", fin=False), more(b"rest"))
    assert closing_code(raw) == 1002


@pytest.mark.parametrize(
    "before", [b"", text(), text(PING[:5], fin=False) + more(PING[5:])], ids=["nothing", "text", "all"]
)
@pytest.mark.parametrize("fin", [True, False])
def test_a_continuation_of_nothing_is_1002(raw: RawSocket, before: bytes, fin: bool) -> None:
    if before:
        raw.send(before)
        check_answer(raw)
    raw.send(more(PING, fin=fin))
    assert closing_code(raw) == 1002


@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY], ids=lambda opcode: opcode.name)
@pytest.mark.parametrize("fin", [True, False])
def test_another_message_inside_of_one_in_fragments_is_1002(raw: RawSocket, opcode: Opcode, fin: bool) -> None:
    raw.send(text(PING[:5], fin=False), frame(opcode, PING, fin=fin))
    assert closing_code(raw) == 1002


# 6 UTF-8


@pytest.mark.parametrize("character", GOOD_UTF8, ids=lambda character: f"U+{ord(character):04X}")
def test_a_character_is_taken_however_it_is_cut(raw: RawSocket, character: str) -> None:
    payload = saying(character.encode())
    raw.send(text(payload))
    check_answer(raw)
    raw.send(*(fragment + frame(Opcode.PONG) for fragment in fragments(payload, 1)))
    check_answer(raw)
    raw.dribble(text(payload))
    check_answer(raw)


def test_multibyte_text_is_accepted_in_any_fragments(raw: RawSocket) -> None:
    payload = saying("".join(GOOD_UTF8 * 20).encode())
    for size in (2, 3, 5, 64):
        raw.send(*fragments(payload, size))
        check_answer(raw)


@pytest.mark.parametrize("bad", BAD_UTF8.values(), ids=list(BAD_UTF8))
def test_what_is_no_utf8_is_1007(raw: RawSocket, bad: bytes) -> None:
    check_lives(raw)
    raw.send(text(saying(bad)))
    assert closing_code(raw) == 1007


@pytest.mark.parametrize("bad", BAD_UTF8.values(), ids=list(BAD_UTF8))
def test_what_is_no_utf8_across_fragments_is_1007(raw: RawSocket, bad: bytes) -> None:
    raw.send(*fragments(saying(bad), 1))
    assert closing_code(raw) == 1007


@pytest.mark.parametrize(
    "bad", [b"\xff", b"\xed\xa0", b"\xf4\x90", b"\xe0\x80"], ids=["FF", "surrogate", "beyond", "overlong"]
)
def test_invalid_utf8_closes_with_1007_early(raw: RawSocket, bad: bytes) -> None:
    raw.send(text(b'{"' + bad, fin=False))
    assert closing_code(raw) == 1007


@pytest.mark.parametrize("cut", ["é".encode()[:1], "€".encode()[:2], "😀".encode()[:1], "😀".encode()[:3]])
def test_a_text_that_ends_within_a_character_is_1007(raw: RawSocket, cut: bytes) -> None:
    raw.send(text(b'"' + cut, fin=False), more(b""))
    assert closing_code(raw) == 1007


def test_binary_need_not_be_utf8(raw: RawSocket) -> None:
    raw.send(*fragments(b"".join(BAD_UTF8.values()), 2, Opcode.BINARY))
    assert raw.json()["code"] == "INVALID_MESSAGE"
    check_lives(raw)


# 7 Closing


def test_a_close_without_a_code_is_answered_by_one(raw: RawSocket) -> None:
    assert answer_to(raw, close(None)) is None


@pytest.mark.parametrize(
    "code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999]
)
@pytest.mark.parametrize("reason", [b"", "für heute".encode(), b"x" * 123], ids=["bare", "reason", "long"])
def test_a_close_is_answered_with_its_code(raw: RawSocket, code: int, reason: bytes) -> None:
    assert answer_to(raw, close(code, reason)) == code


def answer_to(raw: RawSocket, data: bytes) -> int | None:
    """The code of the close that answers; the server ends the connection without waiting for another word."""
    raw.send(data)
    said = raw.next()
    assert said is not None
    code = said.code
    assert raw.ended()
    return code


BAD_CODES = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]


@pytest.mark.parametrize("code", BAD_CODES)
def test_a_code_that_nobody_may_say_is_1002(raw: RawSocket, code: int) -> None:
    assert answer_to(raw, close(code)) == 1002


def test_half_a_code_is_1002(raw: RawSocket) -> None:
    assert answer_to(raw, frame(Opcode.CLOSE, b"\x03")) == 1002


@pytest.mark.parametrize("bad", BAD_UTF8.values(), ids=list(BAD_UTF8))
def test_a_reason_that_is_no_utf8_is_1007(raw: RawSocket, bad: bytes) -> None:
    assert answer_to(raw, close(1000, b"because " + bad)) == 1007


def test_a_reason_of_124_bytes_is_1002(raw: RawSocket) -> None:
    assert answer_to(raw, close(1000, b"x" * 124)) == 1002


def test_a_close_that_comes_byte_by_byte_is_answered(raw: RawSocket) -> None:
    data = close(1001, b"going")
    raw.dribble(data[:-1])
    assert answer_to(raw, data[-1:]) == 1001


@pytest.mark.parametrize(
    "after",
    [text(), text() * 100, frame(Opcode.PING, b"?"), close(3000), close(0), text(rsv=7), text(PING[:5], fin=False)],
    ids=["request", "requests", "ping", "close", "bad close", "rsv", "fragment"],
)
def test_what_comes_behind_a_close_is_ignored(raw: RawSocket, after: bytes) -> None:
    assert answer_to(raw, close(1000) + after) == 1000


def test_a_close_within_a_message_in_fragments_is_answered(raw: RawSocket) -> None:
    assert answer_to(raw, text(PING[:5], fin=False) + close(1000)) == 1000


@pytest.mark.parametrize(
    ("said", "code"),
    [(text() * 20 + close(3000), 3000), (text() * 20 + text(rsv=1) + text() * 20, 1002)],
    ids=["a close", "a broken frame"],
)
def test_requests_around_an_end_cost_nothing_but_their_answers(raw: RawSocket, said: bytes, code: int) -> None:
    raw.send(said)
    while (last := raw.next()) is not None and last.opcode == Opcode.TEXT:
        pass
    assert last is not None
    assert last.code == code
    with suppress(ConnectionError):
        raw.send(close(code))
    assert raw.ended()


def test_client_ignoring_close_is_disconnected(server: AppProcess) -> None:
    with opened(server.port) as silent, opened(server.port, room=4096) as deaf:
        silent.send(text(rsv=1))
        ask_until_nothing_comes(server, deaf)
        deaf.send(close(1000))
        wait_until(lambda: metric(server, "hyperwatch_websocket_connections") == 1, "both to be cut off", 15)


def ask_until_nothing_comes(server: AppProcess, deaf: RawSocket) -> None:
    """And not for more at a time than the server keeps while it goes on reading."""
    answered = metric(server, "hyperwatch_websocket_sent_frames_total")
    with suppress(AssertionError):
        for count in itertools.count(answered + 10, 10):
            deaf.send(text(b'{"type": "hello"}') * 10)
            wait_until(partial(has_sent, server, count), "the answers", 0.5)


def has_sent(server: AppProcess, count: int) -> bool:
    return metric(server, "hyperwatch_websocket_sent_frames_total") >= count


# 9 Limits


@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY], ids=lambda opcode: opcode.name)
def test_a_frame_over_the_limit_is_1009(raw: RawSocket, opcode: Opcode) -> None:
    raw.send(frame(opcode, padded(FRAME_BYTES + 1)))
    assert closing_code(raw) == 1009


@pytest.mark.parametrize("length", [FRAME_BYTES + 1, 2**31, 2**32, 2**63 - 1])
def test_announced_oversize_closes_with_1009_at_once(raw: RawSocket, length: int) -> None:
    raw.send(text(b"{", length=length))
    said = raw.next()
    assert said is not None
    assert said.code == 1009


@pytest.mark.parametrize("fragment", [1_024, FRAME_BYTES])
def test_fragments_that_are_too_long_together_are_1009(raw: RawSocket, fragment: int) -> None:
    raw.send(*fragments(padded(FRAME_BYTES + 1), fragment))
    assert closing_code(raw) == 1009


def test_endless_fragments_close_with_1009(raw: RawSocket) -> None:
    raw.send(text(b"x" * 1_000, fin=False), *[more(b"x" * 1_000, fin=False)] * 66)
    assert closing_code(raw) == 1009


def test_control_frames_do_not_count_for_the_limit(raw: RawSocket) -> None:
    for _ in range(3):
        raw.send(*(part + frame(Opcode.PONG, b"x" * 125) for part in fragments(padded(FRAME_BYTES), 1_024)))
        check_answer(raw)


# 10 Clients that disconnect without a close


@pytest.mark.parametrize(
    "said",
    [b"", text()[:1], text()[:4], text()[:-1], text(padded(300))[:3], text(PING[:5], fin=False), text() * 50, close()],
    ids=["nothing", "a byte", "no mask", "but a byte", "half a length", "a fragment", "requests", "close"],
)
@pytest.mark.parametrize("way", [RawSocket.reset, RawSocket.close], ids=["reset", "closed"])
def test_one_who_vanishes_costs_nothing(server: AppProcess, said: bytes, way: Any) -> None:
    with opened(server.port) as raw:
        raw.send(said)
        way(raw)
    wait_until(lambda: metric(server, "hyperwatch_websocket_connections") == 1, "it to be gone")


def test_disconnect_during_handshake_leaves_nothing(server: AppProcess) -> None:
    for size in (1, 20, len(request()) - 1, len(request())):
        with connected(server.port) as raw:
            raw.send(request()[:size])
            raw.reset()
    wait_until(lambda: metric(server, "hyperwatch_websocket_connections") == 1, "them to be gone")


# Compression (RFC 7692)

OFFER = request(sec_websocket_extensions="permessage-deflate")


def deflated(payload: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-15)
    return (deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\0\0\xff\xff")


@pytest.fixture
def compressing(server: AppProcess) -> Iterator[RawSocket]:
    with connected(server.port) as raw:
        answer = raw.shake_hands(OFFER)
        assert answer.headers["sec-websocket-extensions"].startswith("permessage-deflate")
        yield raw


def test_compressed_and_plain_requests_are_taken_in_turn(compressing: RawSocket) -> None:
    for payload in (PING, padded(5_000), padded(FRAME_BYTES)):
        compressing.send(text(deflated(payload), rsv=4), text(payload))
        check_answer(compressing)
        check_answer(compressing)


def test_compressed_fragments_accept_pings_between(compressing: RawSocket) -> None:
    data = deflated(saying("".join(GOOD_UTF8).encode()))
    compressing.send(text(data[:7], rsv=4, fin=False), frame(Opcode.PING), more(data[7:9], fin=False), more(data[9:]))
    pong = compressing.next()
    assert pong is not None
    assert pong.opcode == Opcode.PONG
    check_answer(compressing)


BAD_COMPRESSION = {
    "no deflate": (text(b"\xff" * 20, rsv=4), 1007),
    "no deflate in a fragment": (text(b"", rsv=4, fin=False) + more(b"\xff" * 20), 1007),
    "no UTF-8 within": (text(deflated(saying(b"\xff")), rsv=4), 1007),
    "too large within": (text(deflated(padded(FRAME_BYTES + 1)), rsv=4), 1009),
    "much too large within": (text(deflated(padded(20_000_000)), rsv=4), 1009),
    "too large together": (
        text(deflated(padded(FRAME_BYTES + 1))[:50], rsv=4, fin=False) + more(b"x" * FRAME_BYTES),
        1009,
    ),
    "another bit": (text(deflated(PING), rsv=6), 1002),
    "a bit too late": (text(PING[:5], fin=False) + more(PING[5:], rsv=4), 1002),
    "a compressed ping": (frame(Opcode.PING, deflated(b"x"), rsv=4), 1002),
    "a compressed close": (close(1000, rsv=4), 1002),
}


@pytest.mark.parametrize(("data", "code"), BAD_COMPRESSION.values(), ids=list(BAD_COMPRESSION))
def test_what_cannot_be_inflated_is_refused(compressing: RawSocket, data: bytes, code: int) -> None:
    compressing.send(data)
    assert closing_code(compressing) == code


# Handshakes


GOOD_HANDSHAKES = {
    "names in any case": request(upgrade="WebSocket", connection="upgrade"),
    "among other tokens": request(connection="keep-alive, Upgrade"),
    "a query": request("GET /ws?client_id=x&token=%ff%00 HTTP/1.1"),
    "other headers": request(x_thing="\xe9", user_agent="x" * 1_000, cookie="a=b"),
    "a protocol that we do not speak": request(sec_websocket_protocol="graphql-ws, mqtt"),
    "an extension that we do not speak": request(sec_websocket_extensions="x-webkit-nothing; level=9"),
}


@pytest.mark.parametrize("params", GOOD_HANDSHAKES.values(), ids=list(GOOD_HANDSHAKES))
def test_a_handshake_is_taken(server: AppProcess, params: bytes) -> None:
    with connected(server.port) as raw:
        answer = raw.shake_hands(params)
        assert answer.status == 101
        assert answer.headers["upgrade"].lower() == "websocket"
        assert answer.headers["connection"].lower() == "upgrade"
        assert "sec-websocket-protocol" not in answer.headers
        assert "sec-websocket-extensions" not in answer.headers
        check_lives(raw)


def test_a_handshake_that_comes_byte_by_byte_is_taken(server: AppProcess) -> None:
    with connected(server.port) as raw:
        raw.dribble(request()[:-1])
        assert raw.shake_hands(request()[-1:]).status == 101
        check_lives(raw)


BAD_HANDSHAKES = {
    "no key": (request(sec_websocket_key=None), {400}),
    "an empty key": (request(sec_websocket_key=""), {400}),
    "a short key": (request(sec_websocket_key="c2hvcnQ="), {400}),
    "a long key": (request(sec_websocket_key="c2V2ZW50ZWVuIGJ5dGVzISE="[:-1] + "=="), {400}),
    "a key that is no base64": (request(sec_websocket_key="!!!!!!!!!!!!!!!!!!!!!!=="), {400}),
    "no version": (request(sec_websocket_version=None), {400, 426}),
    "a version that is no number": (request(sec_websocket_version="new"), {400, 426}),
    "no connection": (request(connection=None), {400}),
    "another connection": (request(connection="keep-alive"), {400}),
    "no upgrade": (request(upgrade=None), {400, 404, 426}),
    "another upgrade": (request(upgrade="h2c"), {400, 404, 426}),
    "no host": (request(host=None), {400}),
    "POST": (request("POST /ws HTTP/1.1", content_length="0"), {400, 405}),
    "HEAD": (request("HEAD /ws HTTP/1.1"), {400, 405}),
    "HTTP/1.0": (request("GET /ws HTTP/1.0"), {400, 404, 426, 505}),
    "HTTP/2.0": (request("GET /ws HTTP/2.0"), {400, 505}),
    "a path that is not ASCII": (request("GET /ws\xe9 HTTP/1.1"), {400}),
    "a fragment": (request("GET /ws#here HTTP/1.1"), {400}),
    "an origin that is none": (request(origin="nonsense"), {400}),
    "a protocol that is not ASCII": (request(sec_websocket_protocol="\xe9"), {400}),
    "no HTTP": (b"hello\r\n\r\n", {400}),
}


@pytest.mark.parametrize(("params", "statuses"), BAD_HANDSHAKES.values(), ids=list(BAD_HANDSHAKES))
def test_a_handshake_that_cannot_be_is_refused(server: AppProcess, params: bytes, statuses: set[int]) -> None:
    with connected(server.port) as raw:
        assert raw.shake_hands(params).status in statuses


@pytest.mark.parametrize("version", [0, 1, 7, 8, 12, 14, 255])
def test_another_version_is_refused_with_ours(server: AppProcess, version: int) -> None:
    with connected(server.port) as raw:
        answer = raw.shake_hands(request(sec_websocket_version=str(version)))
        assert answer.status in {400, 426}
        assert answer.headers["sec-websocket-version"] == "13"
