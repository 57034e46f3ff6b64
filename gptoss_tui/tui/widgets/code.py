"""Source code as coloured text."""

from __future__ import annotations

from pygments.lexers import get_lexer_by_name
from pygments.token import Token
from pygments.util import ClassNotFound
from textual.content import Content
from textual.highlight import HighlightTheme, highlight

# Lexing is linear but slow; nobody misses colours in text of this size.
_MOST_CHARACTERS = 20_000


class Calm(HighlightTheme):
    """A theme of few colours and no underlines, which leaves most names plain."""

    STYLES = {  # noqa: RUF012 (as the base class declares it)
        Token.Comment: "$muted italic",
        Token.Error: "$foreground",
        Token.Keyword: "$text-primary",
        Token.Keyword.Constant: "$text-warning",
        Token.Literal.Number: "$text-warning",
        Token.Literal.String: "$text-success",
        Token.Literal.String.Doc: "$text-success italic",
        Token.Name.Builtin: "$text-accent",
        Token.Name.Class: "bold",
        Token.Name.Decorator: "$text-accent",
        Token.Name.Function: "bold",
        Token.Name.Tag: "$text-primary",
        Token.Number: "$text-warning",
        Token.Operator.Word: "$text-primary",
        Token.String: "$text-success",
    }


def is_language(name: str) -> bool:
    """True when `name` is the name of a language that can be coloured."""
    try:
        get_lexer_by_name(name)
    except ClassNotFound:
        return False
    return True


def code(text: str, language: str | None) -> Content:
    """Printable `text` in the colours of `language`; without colours if that is None or the text is long."""
    if not language or len(text) > _MOST_CHARACTERS:
        return Content(text)
    return highlight(text, language=language, theme=Calm)
