"""Host names for Twisted by way of asyncio's own resolver.

What is connected to is what was looked up here, address by address: a name that leads into a
network of one's own without being meant to is refused, whatever it led to a moment ago.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IHostnameResolver, IHostResolution
from zope.interface import implementer  # type: ignore[import-untyped]  # has no types

from .. import network


@implementer(IHostResolution)
class _Resolution:
    """One look-up under way."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.task: asyncio.Task[None] | None = None

    def cancel(self) -> None:
        """Give the look-up up."""
        if self.task is not None:
            self.task.cancel()


@implementer(IHostnameResolver)
class AsyncioNames:
    """Looks names up with ``loop.getaddrinfo``.

    ``open`` says that any name may lead into the operator's own network. ``refused`` tells which
    did without leave, and where to. Zope's interfaces say nothing to a type checker, hence the
    ``Any``.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.open = False
        self.refused: dict[str, str] = {}

    def resolveHostName(  # noqa: N802 - the name is Twisted's
        self,
        resolutionReceiver: Any,  # noqa: N803 - same
        hostName: str,  # noqa: N803 - same
        portNumber: int = 0,  # noqa: N803 - same
        addressTypes: Sequence[type[Any]] | None = None,  # noqa: ARG002, N803 - same
        transportSemantics: str = "TCP",  # noqa: ARG002, N803 - same
    ) -> _Resolution:
        """Tell the receiver every address of a name; none at all when it has none."""
        resolution = _Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        look_up = self._look_up(resolutionReceiver, hostName, portNumber)
        resolution.task = self._loop.create_task(look_up)
        return resolution

    async def _look_up(self, receiver: Any, name: str, port: int) -> None:
        try:
            found = await self._loop.getaddrinfo(name, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            found = []
        if (own := self._inside(name, [str(each[4][0]) for each in found])) is not None:
            self.refused[name], found = own, []
        for family, _kind, _protocol, _canonical, address in found:
            kind = IPv6Address if family == socket.AF_INET6 else IPv4Address
            receiver.addressResolved(kind("TCP", str(address[0]), int(address[1])))
        receiver.resolutionComplete()

    def _inside(self, name: str, addresses: Sequence[str]) -> str | None:
        """An address of one's own network that this name has no business to lead to."""
        if self.open or network.named(name) or name in network.proxies():
            return None
        return next((each for each in addresses if network.inside(each)), None)
