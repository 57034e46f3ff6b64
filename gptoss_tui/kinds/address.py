"""Addresses: the place that is connected to, in one spelling, however it was written.

Web addresses are read by the parser of the HTTP client that fetches them, so that a rule about an address and
the fetcher never disagree on where it leads.
"""

from __future__ import annotations

import re
import socket
import string
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from httpx2 import URL

PORTS = {"http": 80, "https": 443}
"""The schemes of the web, each with its default port."""

_INVALID = "It is no valid address."
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#]*)([^#]*)", re.IGNORECASE)
_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_NUMBER = re.compile(r"(.*\.)?(0x[0-9a-f]*|[0-9]+)")
_UNRESERVED = string.ascii_letters + string.digits + "-._~"
_RESERVED = ":/?#[]@!$&'()*+,;="


class AddressError(ValueError):
    """A text is no address that can be connected to; the message, one sentence, says why."""


@dataclass(frozen=True, slots=True)
class Address:
    """An address in its canonical spelling.

    `port` is None where it is the scheme's default; `target` is the path with the query. There is no
    fragment.
    """

    scheme: str
    host: str
    port: int | None
    target: str

    @property
    def site(self) -> str:
        """The address without its target."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        return f"{self.scheme}://{host}{port}"

    @property
    def shown(self) -> str:
        """The address with its host in Unicode, for people."""
        from httpx2 import URL

        try:
            return f"{self.scheme}://{URL(self.site).host}{self.target}" if "xn--" in self.host else str(self)
        except ValueError:  # the host has letters that no name may have
            return str(self)

    def __str__(self) -> str:
        return self.site + self.target


@lru_cache(64)
def read(text: str) -> Address:
    """The address, of the web or of documents, that `text` states in full; raises AddressError."""
    found = _SCHEME.match(text.strip())
    if found is None:
        raise AddressError(_INVALID)
    scheme = found[1].lower()
    if scheme in PORTS:
        url = parsed(text.strip())
        port = None if url.port == PORTS[scheme] else url.port
        return Address(scheme, host_of(url), port, _escaped(url.raw_path.decode("ascii")))
    # Outside the web, only the slash has a meaning in a path.
    return Address(scheme, found[2].lower(), None, quote(unquote(found[3]), safe="/"))


def parsed(text: str) -> URL:
    """The http or https address in `text`, as it is requested; raises AddressError.

    Characters that mean the same escaped and plain (RFC 3986, 2.3) are plain, `.` and `..` are resolved, and
    the host is in ASCII.
    """
    from httpx2 import URL, InvalidURL

    try:
        url = URL(_plain(text))
    except (InvalidURL, ValueError) as error:
        raise AddressError(_INVALID) from error
    if url.scheme not in PORTS:
        raise AddressError("Only http and https addresses can be opened.")
    if "\\" in text:
        raise AddressError(_INVALID)
    if url.userinfo:
        raise AddressError("An address with a user name or password in it is not opened.")
    host_of(url)
    return url.copy_with(fragment=None)


def host_of(url: URL) -> str:
    """The host in its canonical spelling, an IP address as the system reads it; raises AddressError."""
    try:
        return _host(url.raw_host.decode("ascii"))
    except ValueError as error:
        raise AddressError(_INVALID) from error


def joined(base: URL, reference: str) -> str:
    """The address of `reference`, resolved against `base`; raises AddressError."""
    from httpx2 import InvalidURL

    try:
        return str(base.join(reference))
    except (InvalidURL, ValueError) as error:
        raise AddressError(_INVALID) from error


def _host(name: str) -> str:
    """The canonical spelling of a host; raises ValueError where `name` can be no host."""
    if ":" in name:
        address = IPv6Address(name)
        if address.scope_id is not None:
            raise ValueError(name)
        return str(address.ipv4_mapped or address)
    name = name.removesuffix(".")
    if _NUMBER.fullmatch(name):
        try:
            # The system's resolver also reads 0x7f.1 and 2130706433.
            return socket.inet_ntoa(socket.inet_aton(name))
        except OSError:
            raise ValueError(name) from None
    if not _NAME.fullmatch(name):
        raise ValueError(name)
    return name


def _plain(text: str) -> str:
    """The text without needless escapes, and with every other percent sign escaped."""
    text = re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", text)
    return re.sub(r"%[0-9A-Fa-f]{2}", _unescaped, text)


def _unescaped(escape: re.Match[str]) -> str:
    character = chr(int(escape[0][1:], 16))
    return character if character in _UNRESERVED else escape[0].upper()


def _escaped(target: str) -> str:
    return quote(target, safe=_RESERVED + "%")
