"""Addresses as text: joined, compared, shown. The fetcher decides whether one may be connected to."""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit, urlunsplit

LONGEST = 2048  # characters; a longer address is no link

_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
# The pseudo-addresses of the offline collections; only links within a collection lead to them.
OFFLINE = ("doc", "zim")
_BARE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.[a-z]{2,}(:\d+)?([/?#].*)?", re.IGNORECASE)
_IN_TEXT = re.compile(r"https?://[^\s<>\"'`【】〖〗|\\^{}]+", re.IGNORECASE)
_BARE_IN_TEXT = re.compile(
    r"(?<![\w@./:-])[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,}(?::\d+)?(?:/[^\s<>\"'`【】]*)?", re.IGNORECASE
)


def join(base: str, href: str) -> str | None:
    """The address of `href` on the page at `base`, or None if the browser cannot open it."""
    href = re.sub(r"[\x00-\x1f\x7f]", "", href.strip()).replace(" ", "%20")
    if not href or len(href) > LONGEST:
        return None
    scheme = urlsplit(base).scheme
    allowed = {"http", "https"} | ({scheme} & set(OFFLINE))
    try:
        if _SCHEME.match(href):
            joined = href
        elif scheme in OFFLINE:  # urljoin only knows the schemes of the web
            joined = urljoin(base.replace(scheme, "http", 1), href).replace("http", scheme, 1)
        else:
            joined = urljoin(base, href)
        parts = urlsplit(joined)
        if parts.scheme not in allowed or (parts.scheme not in OFFLINE and not parts.hostname):
            return None
        _ = parts.port
    except ValueError:
        return None
    return joined if len(joined) <= LONGEST else None


def domain(url: str) -> str:
    """The host with its port, in ASCII, which exposes look-alike letters; empty if there is none."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            host = host.encode("ascii", "backslashreplace").decode()
    return host + port


def complete(text: str) -> str | None:
    """The full address for `text` of a model or a person ("example.org/a" too), or None."""
    text = text.strip()
    if not text or len(text) > LONGEST or re.search(r"[\s\x00-\x1f\x7f\ud800-\udfff]", text):
        return None
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://", text):
        return text
    return f"https://{text}" if _BARE.fullmatch(text) else None


def canonical(url: str) -> str:
    """A form that all spellings of a web address share: no fragment, lower-case host, http as https."""
    try:
        parts = urlsplit(url)
        scheme = "https" if parts.scheme.lower() == "http" else parts.scheme.lower()
        return urlunsplit((scheme, parts.netloc.lower(), parts.path or "/", parts.query, ""))
    except ValueError:
        return url


def within(text: str) -> list[str]:
    """The web addresses in `text`, those without a scheme included."""
    found = _IN_TEXT.findall(text)
    found += [f"https://{bare}" for bare in _BARE_IN_TEXT.findall(_IN_TEXT.sub(" ", text))]
    return [_without_punctuation(url) for url in found]


def _without_punctuation(url: str) -> str:
    while url and (url[-1] in ".,;:!?'*_~" or (url[-1] == ")" and url.count(")") > url.count("("))):
        url = url[:-1]
    return url
