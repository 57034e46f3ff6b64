"""Patterns over addresses, which are read by the parser that reads addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from .address import PORTS, Address, AddressError, read
from .glob import between, fits, parts

_STAR = "\0"  # for a star, among characters that stand for themselves; no address holds it
_FORM = re.compile(
    r"(?:(?P<scheme>[^/?#:]*)://)?(?P<site>[^/?#]*?)(?P<port>:[0-9]+|:\0)?(?P<target>[/?#].*)?", re.DOTALL
)
_SCHEME = re.compile(r"[a-z*][a-z0-9+.*-]*://", re.IGNORECASE)


def names_scheme(pattern: str) -> bool:
    """Whether the pattern is written like an address in full."""
    return _SCHEME.match(pattern) is not None


def covers(pattern: str, text: str) -> bool | None:
    """Whether the pattern covers the address that is connected to; see `Kind`. No text is no connection.

    In doubt is what it covers but for the web's other scheme or a port that it does not name; what it fits as
    a text alone, whose stars cross any border; and what is no readable address.
    """
    if not text:
        return fits(pattern, text)
    if not any(parts(pattern)):
        return True
    try:
        address = read(text)
    except AddressError:
        return None
    as_address = _read(pattern)
    covered = as_address.covers(address) if as_address is not None else False
    if covered is False and any(
        between(pieces, spelling)
        for pieces in _as_texts(pattern, as_address)
        for spelling in (str(address), address.shown)
    ):
        return None
    return covered


@dataclass(frozen=True, slots=True)
class _Pattern:
    """Texts with `_STAR` for each star, each about one part of an address.

    A star of the host stays within it. `port` is empty where none is named. `is_host` tells that a host was
    written and nothing else.
    """

    scheme: str
    host: str
    port: str
    target: str
    is_host: bool

    def covers(self, address: Address) -> bool | None:
        """Whether every part fits; see `covers`."""
        if not _fits(self.host, address.host):
            return False
        if not _fits(self.target, address.target):
            return None if self.is_host else False
        port = address.port or PORTS.get(address.scheme, 0)
        if self.port and not _fits(self.port, str(port)):
            return False
        if not _fits(self.scheme, address.scheme):
            return None if self.scheme in PORTS and address.scheme in PORTS else False
        return True if self.port or address.port is None else None


@lru_cache(256)
def _read(pattern: str) -> _Pattern | None:
    """The pattern by its parts, or None where they cannot be told: it is then about texts alone.

    Without a scheme it means https, as an address does, or any if it begins with a star. A host alone means
    its root, unless it ends in a star.
    """
    text = _STAR.join(parts(pattern))
    found = _FORM.fullmatch(text)
    if _STAR in pattern or found is None or re.search(r"\0[^.]*[^\0-\x7f]|[^\0-\x7f][^.]*\0", found["site"]):
        return None  # the ASCII form of a label that is known in part cannot be told
    site, port, target = found["site"], found["port"] or "", found["target"]
    scheme = (found["scheme"] or (_STAR if text.startswith(_STAR) else "https")).lower()
    if target is None:
        target = f"/{_STAR}" if (port or site).endswith(_STAR) else "/"
    # A word stands for the stars, so that what is around them is spelled as the parser spells it.
    word = "star"
    while word in text.lower():
        word += "x"
    known, number = scheme if _STAR not in scheme else "http", "" if _STAR in port else port
    try:
        address = read(f"{known}://{site}{number}{target}".replace(_STAR, word))
    except AddressError:
        return None
    return _Pattern(
        scheme,
        address.host.replace(word, _STAR),
        port and (_STAR if _STAR in port else str(int(port[1:]))),
        address.target.replace(word, _STAR),
        found["scheme"] is None and found["target"] is None,
    )


def _fits(pattern: str, text: str) -> bool:
    return between(pattern.split(_STAR), text)


def _as_texts(pattern: str, read: _Pattern | None) -> Iterator[list[str]]:
    """The pattern as a text: as it is written, and as its parts are spelled."""
    yield parts(pattern)
    if read is not None:
        port = f":{read.port}" if read.port else ""
        yield f"{read.scheme}://{read.host}{port}{read.target}".split(_STAR)
