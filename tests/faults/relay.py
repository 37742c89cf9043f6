"""A relay before a server, with the faults of real networks: silence, dripping, cuts."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

_RESET = struct.pack("ii", 1, 0)
DRIP, DROPS = 0.05, 40
"""Seconds between two bytes of a dripping connection, and how many there are: two seconds."""


@dataclass(frozen=True)
class Trouble:
    """What befalls a connection once so many bytes went ``down`` to the client, or ``up``.

    ``mute``: it stays open and nothing moves. ``drip``: byte by byte for a while. ``cut``: reset.
    """

    then: str
    after: int = 0
    side: str = "down"


class Relay:
    """Listens on a port of loopback, or at a path, and passes everything on to ``target``.

    ``trouble`` is asked at each connection for what befalls it.
    """

    def __init__(self, target: int | str, path: str = "") -> None:
        self.trouble: Callable[[], Trouble | None] = lambda: None
        self.struck = 0
        self._target, self._path = target, path
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._open: set[asyncio.Task[None]] = set()
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def heal(self) -> None:
        """No more trouble; what hangs is cut."""
        self.trouble = lambda: None
        self._do(self._hang_up())

    def _do(self, work: object) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(60)  # type: ignore[arg-type]

    async def _listen(self) -> None:
        if self._path:
            self._server = await asyncio.start_unix_server(self._met, self._path)
            return
        self._server = await asyncio.start_server(self._met, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        await self._hang_up()

    async def _hang_up(self) -> None:
        left = set(self._open)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        ends = [writer]
        try:
            inner, outer = await self._reach()
            ends.append(outer)
            trouble = self.trouble()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, outer, _on(trouble, "up"), writer))
                group.create_task(self._pump(inner, writer, _on(trouble, "down"), writer))
        except (OSError, ExceptionGroup, asyncio.CancelledError):
            pass  # an end of one side is the end of both
        finally:
            self._open.discard(task)
            for end in ends:
                end.close()
                with suppress(OSError, asyncio.CancelledError):
                    await end.wait_closed()

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, str):
            return await asyncio.open_unix_connection(self._target)
        return await asyncio.open_connection("127.0.0.1", self._target)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        trouble: Trouble | None,
        client: asyncio.StreamWriter,
    ) -> None:
        passed = 0
        while True:
            if trouble and passed >= trouble.after:
                self.struck += 1
                await self._strike(trouble, reader, writer, client)
                trouble = None
            room = trouble.after - passed if trouble else 65536
            data = await reader.read(min(room, 65536))
            if not data:
                writer.write_eof()
                return
            passed += len(data)
            writer.write(data)
            await writer.drain()

    async def _strike(
        self,
        trouble: Trouble,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        client: asyncio.StreamWriter,
    ) -> None:
        if trouble.then == "cut":
            raw = client.get_extra_info("socket")
            with suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            client.transport.abort()
            raise ConnectionResetError
        if trouble.then == "mute":
            await asyncio.Event().wait()
        for _ in range(DROPS):
            writer.write(await reader.read(1))
            await writer.drain()
            await asyncio.sleep(DRIP)


def _on(trouble: Trouble | None, side: str) -> Trouble | None:
    return trouble if trouble and trouble.side == side else None
