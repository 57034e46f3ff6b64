"""Patterns over addresses, which are read by the parser that reads addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address
from urllib.parse import unquote

from .address import PORTS, Address, AddressError, read
from .glob import between, fits, parts

_STAR = "\0"  # for a star, among characters that stand for themselves; no address holds it
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
    """Whether the pattern covers the address that is connected to; see `Kind`. No text is no connection.

    In doubt is what it covers but for the web's other scheme or a port that it does not name; a path that it
    fits either as it is written or as a lenient server reads it, not as both; what it fits as a text alone,
    whose stars cross any border; and what is no readable address.
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

    What begins with a star is none, but a text that may be anywhere in an address.
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
    """Texts with `_STAR` for each star, each about one part of an address.

    A star of the host stays within it; an IPv6 address with stars is in brackets. `port` is empty where none
    is named. `is_host` tells that a host was written and nothing else.
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
    """The pattern by its parts, or None where they cannot be told: it is then about texts alone.

    Without a scheme it means https, as an address does, or any if it begins with a star. A host alone means
    its root, unless it ends in a star.
    """
    text = _STAR.join(parts(pattern))
    if open_ended := _PORT_THEN_ANY.fullmatch(text):
        text = f"{open_ended[1]}/{_STAR}"
    found = _FORM.fullmatch(text)
    if _STAR in pattern or found is None or _OPEN_LABEL.search(found["site"]):
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
    """The target as a server may read it: escapes undone, also nested ones, slashes merged, dots resolved."""
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
    return unquote(
        _ESCAPED_PERCENT.sub("%", text), "latin-1"
    )  # byte by byte: a star may stand within a letter


def _as_texts(pattern: str, read: _Pattern | None) -> Iterator[list[str]]:
    """The pattern as a text: as it is written, without escapes, and as its parts are spelled."""
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
    """Whether a bracketed pattern fits the address with the zeros of its groups left out, or with all."""
    short = re.sub(r"(?<![0-9a-f])0+(?=[0-9a-f])", "", pattern)
    full = re.sub(r"(?<![0-9a-f\0])[0-9a-f]+(?![0-9a-f\0])", lambda group: group[0].zfill(4), pattern)
    return _fits(short, f"[{host}]") or _fits(full, f"[{IPv6Address(host).exploded}]")
