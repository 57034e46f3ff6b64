"""Patterns over addresses; the parser of addresses also reads the patterns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address
from urllib.parse import unquote

from .address import PORTS, Address, AddressError, read
from .glob import between, fits, parts

_STAR = "\0"  # stands for a star among literal characters; no address contains it
_FORM = re.compile(
    r"(?:(?P<scheme>[^/?#:]*)://)?(?P<site>[^/?#]*?)(?P<port>:[0-9]+|:\0)?(?P<target>[/?#].*)?", re.DOTALL
)
_SCHEME = re.compile(r"[a-z*][a-z0-9+.*-]*://", re.IGNORECASE)
_PORT_THEN_ANY = re.compile(r"((?:[^/?#:]*://)?(?:[^/?#:\[\]]*|\[[^\]]*\]):[0-9]+)\0")
_OPEN_LABEL = re.compile(r"\0[^.]*[^\0-\x7f]|[^\0-\x7f][^.]*\0")
_OPEN_IPV6 = re.compile(r"\[[0-9a-f:.\0]*\0[0-9a-f:.\0]*\]", re.IGNORECASE)
_ESCAPED_PERCENT = re.compile(r"%(?:25)+(?=[0-9a-f]{2})", re.IGNORECASE)


def names_scheme(pattern: str) -> bool:
    """Whether the pattern is written like an address in full."""
    return _SCHEME.match(pattern) is not None


def covers(pattern: str, text: str) -> bool | None:
    """Whether the pattern covers the address in `text`; see `Kind`. An empty text is no connection.

    The result is in doubt for an address that the pattern covers except for the other scheme of the web, or
    for a port that it does not name; for a path that fits as it is written but not as a lenient server reads
    it, or the other way round; for an address that fits only as plain text, in which a star crosses any
    border; and for a text that is no readable address.
    """
    pattern = pattern.strip()
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
        for spelling in _spellings(address)
    ):
        return None
    return covered


def fault(pattern: str) -> str:
    """What to write instead of a pattern that cannot be read as an address; empty where it can be.

    A pattern that begins with a star is no address, but a text that may stand anywhere in one.
    """
    pattern = pattern.strip()
    if not pattern or _read(pattern) is not None:
        return ""
    found = _FORM.fullmatch(_STAR.join(parts(pattern)))
    if found is not None and _OPEN_LABEL.search(found["site"]):
        return ""
    if pattern.startswith("*") and not names_scheme(pattern):
        return ""
    if pattern[0] in "\"'`<":
        return "Write the address without quotes."
    if found is not None and "@" in found["site"]:
        return "No address with a user name or password is opened; write SCHEME://HOST/PATH without them."
    return "Write SCHEME://HOST/PATH or SCHEME://HOST:PORT/PATH, where the port is a number or *."


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A pattern's parts, each a text with `_STAR` for each star and about one part of an address.

    A star of the host stays within it; an IPv6 address with stars is in brackets. `port` is empty where the
    pattern names none. `is_host` is true where the pattern is a host and nothing else.
    """

    scheme: str
    host: str
    port: str
    target: str
    is_host: bool

    def covers(self, address: Address) -> bool | None:
        """Whether every part fits; see `covers`."""
        if ":" in address.host and self.host.startswith("["):
            if not _fits_ipv6(self.host, address.host):
                return False
        elif not _fits(self.host, address.host):
            return False
        as_written, as_served = (
            _fits(self.target, address.target),
            _fits(_served(self.target), _served(address.target)),
        )
        if not (as_written or as_served or self.is_host):
            return False
        port = address.port or PORTS.get(address.scheme, 0)
        if self.port and not _fits(self.port, str(port)):
            return False
        if not _fits(self.scheme, address.scheme):
            return None if self.scheme in PORTS and address.scheme in PORTS else False
        return True if as_written and as_served and (self.port or address.port is None) else None


@lru_cache(256)
def _read(pattern: str) -> _Pattern | None:
    """The pattern's parts, or None where they cannot be determined: it then covers plain text alone.

    Without a scheme the pattern means https, as an address does, or any scheme if it begins with a star. A
    host alone means its root, unless it ends in a star.
    """
    text = _STAR.join(parts(pattern))
    if open_ended := _PORT_THEN_ANY.fullmatch(text):
        text = f"{open_ended[1]}/{_STAR}"
    found = _FORM.fullmatch(text)
    if _STAR in pattern or found is None or _OPEN_LABEL.search(found["site"]):
        return None  # a part of a label does not determine its ASCII form
    site, port, target = found["site"], found["port"] or "", found["target"]
    scheme = (found["scheme"] or (_STAR if text.startswith(_STAR) else "https")).lower()
    if target is None:
        target = f"/{_STAR}" if (port or site).endswith(_STAR) else "/"
    # A word takes the place of each star, so that the parser spells the text around it.
    word = "star"
    while word in text.lower():
        word += "x"
    known, number = scheme if _STAR not in scheme else "http", "" if _STAR in port else port
    try:
        open_ipv6 = _OPEN_IPV6.fullmatch(site) is not None
        address = read(f"{known}://{word if open_ipv6 else site}{number}{target}".replace(_STAR, word))
    except AddressError:
        return None
    return _Pattern(
        scheme,
        site.lower() if open_ipv6 else address.host.replace(word, _STAR),
        port and (_STAR if _STAR in port else str(int(port[1:]))),
        address.target.replace(word, _STAR),
        found["scheme"] is None and found["target"] is None,
    )


def _fits(pattern: str, text: str) -> bool:
    return between(pattern.split(_STAR), text)


def _served(target: str) -> str:
    """The target as a server may read it: escapes undone, even nested ones, slashes merged, dots resolved."""
    path, mark, query = target.partition("?")
    segments: list[str] = []
    names = re.split(r"[/\\]+", _decoded(path).lstrip(r"\/"))
    for name in names:
        if name == "..":
            del segments[-1:]
        elif name != ".":
            segments.append(name)
    if names[-1] in (".", ".."):
        segments.append("")
    return "/" + "/".join(segments) + mark + _decoded(query)


def _decoded(text: str) -> str:
    # Byte by byte, as a star may stand within a letter.
    return unquote(_ESCAPED_PERCENT.sub("%", text), "latin-1")


def _as_texts(pattern: str, read: _Pattern | None) -> Iterator[list[str]]:
    """The pattern as plain text, in three spellings: as written, without escapes, and from its parts."""
    yield parts(pattern)
    yield [_decoded(part) for part in parts(pattern)]
    if read is not None:
        port = f":{read.port}" if read.port else ""
        yield f"{read.scheme}://{read.host}{port}{read.target}".split(_STAR)


def _spellings(address: Address) -> Iterator[str]:
    yield str(address)
    yield address.shown
    yield address.site + _served(address.target)


def _fits_ipv6(pattern: str, host: str) -> bool:
    """Whether a bracketed pattern fits the address with its zeros left out, or with all of them."""
    short = re.sub(r"(?<![0-9a-f])0+(?=[0-9a-f])", "", pattern)
    full = re.sub(r"(?<![0-9a-f\0])[0-9a-f]+(?![0-9a-f\0])", lambda group: group[0].zfill(4), pattern)
    return _fits(short, f"[{host}]") or _fits(full, f"[{IPv6Address(host).exploded}]")
