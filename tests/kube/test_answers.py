"""Answers are read exactly, however they are cut."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stowplan.kube import answers
from stowplan.kube.answers import Answer, Garbled, Parser

SIZED = b"HTTP/1.1 201 Created\r\nAudit-Id: 1\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nhel\r\nA;name=value\r\nlo, world!\r\n0\r\nEnd: 1\r\n\r\n"
)
EMPTY = b"HTTP/1.1 204 No Content\r\nDate: today\r\n\r\n"
AFTER_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n" + SIZED
CLOSING = b"HTTP/1.1 200 OK\r\ncontent-length:2\r\nConnection: Close\r\n\r\nok"
OLD = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"


def parse(*pieces: bytes) -> Answer | None:
    parser = Parser()
    for piece in pieces[:-1]:
        parser.feed(piece)
    return parser.feed(pieces[-1])


@pytest.mark.parametrize(
    ("data", "status", "body", "kept"),
    [
        pytest.param(SIZED, 201, b"hello", True, id="length"),
        pytest.param(CHUNKED, 200, b"hello, world!", True, id="chunks, extensions and trailers"),
        pytest.param(EMPTY, 204, b"", True, id="no content"),
        pytest.param(AFTER_CONTINUE, 201, b"hello", True, id="an interim answer first"),
        pytest.param(CLOSING, 200, b"ok", False, id="the last on its connection"),
        pytest.param(OLD, 200, b"ok", False, id="HTTP/1.0"),
        pytest.param(b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", 200, b"", True, id="no reason, nothing"),
        pytest.param(b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, b"", True, id="not even a space"),
    ],
)
def test_answer_is_the_same_however_it_is_cut(data: bytes, status: int, body: bytes, kept: bool) -> None:
    whole = parse(data)

    assert whole is not None
    assert (whole.status, whole.body, whole.kept) == (status, body, kept)
    for cut in range(1, len(data)):
        assert parse(data[:cut], data[cut:]) == whole
    assert parse(*(bytes([byte]) for byte in data)) == whole


@pytest.mark.parametrize("data", [SIZED, CHUNKED, EMPTY, AFTER_CONTINUE])
def test_answer_is_complete_with_its_last_byte_only(data: bytes) -> None:
    for end in range(len(data)):
        parser = Parser()
        assert parser.feed(data[:end]) is None
        assert parser.end() is None


def test_answer_without_a_length_lasts_until_the_connection_ends() -> None:
    parser = Parser()

    assert parser.feed(b"HTTP/1.1 502 Bad Gateway\r\n\r\n<html>") is None
    assert parser.feed(b"</html>") is None
    answer = parser.end()
    assert answer is not None
    assert (answer.status, answer.body, answer.kept) == (502, b"<html></html>", False)


def test_headers_are_found_whatever_their_case_and_spaces() -> None:
    answer = parse(b"HTTP/1.1 429 Slow\r\nRETRY-after:\t 7 \r\nA: 1\r\na: 2\r\nX:\r\nContent-Length: 0\r\n\r\n")

    assert answer is not None
    assert answer.headers == {b"retry-after": b"7", b"a": b"1, 2", b"x": b"", b"content-length": b"0"}


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x16\x03\x01\x02\r\n\r\n", id="TLS"),
        pytest.param(b"HTTP/2 200 OK\r\n\r\n", id="another version"),
        pytest.param(b"HTTP/1.1 99 Odd\r\n\r\n", id="no status"),
        pytest.param(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", id="another protocol"),
        pytest.param(HEAD + b"Content-Length: -1\r\n\r\n", id="negative length"),
        pytest.param(HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", id="two lengths"),
        pytest.param(HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", id="length and chunks"),
        pytest.param(HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n", id="compressed"),
        pytest.param(HEAD + b"Content-Length : 5\r\n\r\n", id="space before the colon"),
        pytest.param(HEAD + b"A: 1\r\n folded: 2\r\n\r\n", id="folded header"),
        pytest.param(HEAD + b"no colon\r\n\r\n", id="no header at all"),
        pytest.param(HEAD + b"A: \x00\r\n\r\n", id="a null byte"),
        pytest.param(HEAD + b"A: 1\nB: 2\r\n\r\n", id="bare newline"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\nx\r\n", id="chunk size is no number"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", id="negative chunk"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", id="chunk longer than it says"),
        pytest.param(SIZED + b"HTTP", id="more than was asked for"),
        pytest.param(HEAD + b"A: " + b"x" * answers.MOST_HEAD, id="headers without end"),
    ],
)
def test_what_is_not_plainly_one_answer_is_refused(data: bytes) -> None:
    with pytest.raises(Garbled):
        parse(data)
    with pytest.raises(Garbled):
        parse(*(bytes([byte]) for byte in data[:4000]), data[4000:])


@given(st.binary(max_size=300).flatmap(lambda noise: st.sampled_from([noise, HEAD + noise, HEAD + b"\r\n" + noise])))
def test_noise_is_refused_or_waited_out_but_never_an_error(noise: bytes) -> None:
    parser = Parser()
    with contextlib.suppress(Garbled):
        parser.feed(noise)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=10), st.data())
def test_chunks_of_any_size_cut_anywhere_make_the_body(chunks: list[bytes], data: st.DataObject) -> None:
    stream = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    stream += b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    cuts = sorted(data.draw(st.lists(st.integers(1, len(stream) - 1), max_size=10)))
    answer = parse(*(stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)))

    assert answer is not None
    assert answer.body == b"".join(chunks)


@given(st.lists(st.binary(min_size=1, max_size=9), max_size=8), st.data())
def test_body_can_be_taken_as_it_comes(chunks: list[bytes], data: st.DataObject) -> None:
    stream = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    stream += b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    parser = Parser()
    taken = b""
    assert parser.status == 0
    for at in range(len(stream)):
        parser.feed(stream[at : at + 1])
        if data.draw(st.booleans()):
            taken += parser.take()
    assert parser.status == 200
    assert taken + parser.take() == b"".join(chunks)
    assert parser.waiting == 0
