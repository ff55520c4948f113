"""The same echo as `echo.c`, in the fastest way that plain Python on uvloop has: a BufferedProtocol.

python -m benchmarks.echo_uvloop      prints its port, serves until it is terminated
"""

from __future__ import annotations

import asyncio
import socket
import typing

import uvloop

_BUFFER_BYTES = 256 * 1024


class Echo(asyncio.BufferedProtocol):
    """One connection; what arrives goes back from the same buffer."""

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._transport = typing.cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._transport.write(bytes(self._buffer[:nbytes]))


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
