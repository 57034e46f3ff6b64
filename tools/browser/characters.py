"""The characters of a page that may reach the model, and bytes to text without failure."""

from __future__ import annotations

import codecs
import re

# Invisible characters, with which a page must not be able to say anything: zero-width, direction, tag and
# variation characters, and controls. (Tab and newline stay; NUL in UTF-16 read as Latin is a control too.)
_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U000e0000-\U000e0fff]"
)
_NEWLINES = re.compile("\r\n?|[\x85\u2028\u2029]")
# The browser's own marks consist of these brackets; those of a page are replaced by similar ones.
_BRACKETS = str.maketrans("【】", "〖〗")
_SURROGATES = re.compile("[\ud800-\udfff]")


def visible(text: str) -> str:
    """`text` as a person would see it: no invisible characters, and no 【】, which are the browser's own."""
    text = _UNSEEN.sub("", _NEWLINES.sub("\n", text))
    return _SURROGATES.sub("\ufffd", text).translate(_BRACKETS)


def one_line(text: str, longest: int) -> str:
    """`visible` on a single line of at most `longest` characters."""
    line = " ".join(visible(text[: 20 * longest]).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


# Python's names of the encodings in the WHATWG standard (encoding.spec.whatwg.org), by which the plain Latin
# ones mean their Windows supersets. Python's other codecs are not for pages.
_SUPERSETS = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
    "utf-16": "utf-16-le",
}
_ENCODINGS = (
    {"utf-8", "utf-16-le", "utf-16-be", "big5hkscs", "euc_jp", "iso2022_jp", "cp932", "cp949", "gb18030"}
    | {"cp866", "cp874", "koi8-r", "koi8-u", "mac-roman", "mac-cyrillic"}
    | {f"cp{number}" for number in range(1250, 1259)}
    | {f"iso8859-{number}" for number in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)}
)
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_META = re.compile(rb"<meta[^>]{0,300}?charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE)


def decoded(body: bytes, charset: str | None, *, html: bool = False) -> str:
    """`body` as text. A byte-order mark counts first, then `charset`, then (in HTML) a meta element.

    Without any of them it is UTF-8 if it can be, else Windows-1252. Undecodable bytes become U+FFFD.
    """
    for mark, marked in _MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(marked, "replace")
    encoding = _encoding(charset)
    if encoding is None and html and (meta := _META.search(body[:2048])):
        encoding = _encoding(meta[1].decode("ascii", "replace"))
        if encoding in ("utf-16-le", "utf-16-be"):  # a readable element is not in UTF-16
            encoding = "utf-8"
    if encoding is not None:
        return body.decode(encoding, "replace")
    try:
        # A body cut at a limit may end within a character.
        return codecs.getincrementaldecoder("utf-8")().decode(body)
    except UnicodeDecodeError:
        return body.decode("cp1252", "replace")


def _encoding(label: str | None) -> str | None:
    """Python's codec for a label of the web, or None if the label means nothing."""
    if not label:
        return None
    try:
        name = codecs.lookup(label.strip().strip("\"'")).name
    except (LookupError, ValueError):  # ValueError: a NUL in the label
        return None
    name = _SUPERSETS.get(name, name)
    return name if name in _ENCODINGS else None
