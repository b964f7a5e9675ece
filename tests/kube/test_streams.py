"""A long answer comes as it is sent, and every way in which it can end is told apart."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from tests.kube import wires
from tests.kube.wires import on_both_loops

from stowplan.kube import streams
from stowplan.kube.answers import Garbled
from stowplan.kube.endpoint import Endpoint

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
Script = Callable[[asyncio.StreamWriter], Awaitable[None]]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@contextlib.asynccontextmanager
async def served(script: Script) -> AsyncIterator[Endpoint]:
    """A server that answers every request as the script says, and then closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            await script(writer)
        writer.close()

    async with wires.listening(serve) as endpoint:
        yield endpoint


async def read(endpoint: Endpoint, idle: float = 5.0) -> tuple[int, bytes]:
    async with streams.opened(endpoint, "/x", headers={}, idle=idle) as (status, chunks):
        return status, b"".join([each async for each in chunks])


@on_both_loops
async def test_answer_is_read_to_its_end() -> None:
    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + chunk(b"one") + chunk(b"two") + b"0\r\n\r\n")

    async with served(script) as endpoint:
        assert await read(endpoint) == (200, b"onetwo")


@on_both_loops
async def test_what_has_come_can_be_read_before_the_rest_is_sent() -> None:
    more = asyncio.Event()

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + chunk(b"one"))
        await more.wait()
        writer.write(chunk(b"two") + b"0\r\n\r\n")

    async with served(script) as endpoint, streams.opened(endpoint, "/x", headers={}, idle=5) as (_, chunks):
        assert await anext(chunks) == b"one"
        more.set()
        assert [each async for each in chunks] == [b"two"]


@on_both_loops
async def test_a_reader_that_is_busy_gets_everything_in_the_end() -> None:
    pieces = [b"%06d" % number for number in range(3 * streams.MOST)]

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        for piece in pieces:
            writer.write(chunk(piece))
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    async with served(script) as endpoint, streams.opened(endpoint, "/x", headers={}, idle=5) as (_, chunks):
        found = b""
        async for each in chunks:
            found += each
            await asyncio.sleep(0.01)
    assert found == b"".join(pieces)


@on_both_loops
async def test_refusal_has_a_status_and_a_body() -> None:
    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 410 Gone\r\nContent-Length: 4\r\n\r\ngone")

    async with served(script) as endpoint:
        assert await read(endpoint) == (410, b"gone")


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        pytest.param(HEAD + chunk(b"one"), ConnectionResetError, id="cut within the body"),
        pytest.param(HEAD[:30], ConnectionResetError, id="cut within the headers"),
        pytest.param(b"", ConnectionResetError, id="closed without a word"),
        pytest.param(HEAD + b"no chunk\r\n", Garbled, id="garbled"),
    ],
)
@on_both_loops
async def test_answer_that_breaks_is_an_error(sent: bytes, error: type[Exception]) -> None:
    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(sent)

    async with served(script) as endpoint:
        with pytest.raises(error):
            await read(endpoint)


@pytest.mark.parametrize("sent", [pytest.param(b"", id="at once"), pytest.param(HEAD + chunk(b"one"), id="later")])
@on_both_loops
async def test_silence_ends_it(sent: bytes) -> None:
    over = asyncio.Event()

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        await over.wait()

    async with served(script) as endpoint:
        with pytest.raises(TimeoutError):
            await read(endpoint, idle=0.05)
        over.set()


@on_both_loops
async def test_server_that_is_not_there_is_an_error() -> None:
    listening = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    endpoint = wires.endpoint(listening)
    listening.close()
    await listening.wait_closed()
    with pytest.raises(ConnectionRefusedError):
        await read(endpoint)
