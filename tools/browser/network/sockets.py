"""The sockets of the browser, which judge each address before they connect to it.

A name is looked up once, all of its addresses are judged, and the connection is made to a judged address: no
second look-up could give another one. Spellings do not matter here.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import ip_address
from typing import Any

from httpcore2 import AnyIOBackend, AsyncNetworkBackend, AsyncNetworkStream, ConnectError, ConnectTimeout

from ..backend import BackendError
from ..daemon import in_daemon_thread
from .policy import IPAddress, Policy

LOOKUP_S = 1.8
"""Seconds of a look-up; without a network the system may take half a minute to give up."""

_MOST_ADDRESSES = 6  # addresses of one host that are tried
_CONNECT_S = 5.0
_NEXT_S = 2.0  # seconds before the next address of the host is tried

Resolve = Callable[[str, int], Awaitable[Sequence[IPAddress]]]
"""Finds all addresses of a host; raises OSError if there are none."""


class RefusedError(BackendError):
    """The address policy forbids the connection; none was made."""


async def resolve(host: str, port: int) -> Sequence[IPAddress]:
    """The system's addresses of the host, in the system's order; see `Resolve`."""
    looked_up = in_daemon_thread(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.wait_for(looked_up, LOOKUP_S)
    return [ip_address(str(where[0]).partition("%")[0]) for *_, where in found]


class Sockets(AsyncNetworkBackend):
    """Makes the connections of an HTTP client, to addresses that `policy` permits."""

    def __init__(self, policy: Policy, resolve: Resolve = resolve) -> None:
        self._policy = policy
        self._resolve = resolve
        self._plain = AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (as in the base)
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> AsyncNetworkStream:
        """A connection to the first address that answers; raises RefusedError if any address is forbidden."""
        addresses = list(dict.fromkeys(await addresses_of(host, port, self._resolve)))
        for address in addresses:
            if objection := self._policy.objection(host, port, address):
                raise RefusedError(objection)
        failure: Exception = ConnectError()
        left = len(addresses[:_MOST_ADDRESSES])
        for address in addresses[:_MOST_ADDRESSES]:
            left -= 1
            patience = min(timeout or _CONNECT_S, _NEXT_S) if left else timeout
            try:
                return await self._plain.connect_tcp(
                    str(address), port, patience, local_address, socket_options
                )
            except (ConnectError, ConnectTimeout) as error:
                failure = error
        if not has_route():
            raise BackendError("There is no network.") from failure
        raise failure


async def addresses_of(host: str, port: int, resolve: Resolve = resolve) -> Sequence[IPAddress]:
    """All addresses of a host, which may itself be one; raises BackendError, soon, if there are none."""
    try:
        return [ip_address(host)]
    except ValueError:
        pass
    try:
        return await resolve(host, port)
    except TimeoutError as error:
        what = f"The name {host} could not be looked up within {LOOKUP_S:g} s"
        raise BackendError(f"{what}: is there a network?") from error
    except (OSError, ValueError) as error:  # ValueError: a label that no host name may have
        if not has_route():
            raise BackendError("There is no network.") from error
        is_unknown = isinstance(error, ValueError) or error.errno == socket.EAI_NONAME
        what = "There is no host named" if is_unknown else "The network cannot look up"
        raise BackendError(f"{what} {host}.") from error


def has_route() -> bool:
    """Whether the system has a route to the internet. Only its tables are read: no packet is sent."""
    for family, anywhere in ((socket.AF_INET, "1.1.1.1"), (socket.AF_INET6, "2606:4700:4700::1111")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((anywhere, 443))
                return True
        except OSError:
            continue
    return False
