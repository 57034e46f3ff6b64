r"""The Markdown dialect of answers: GitHub's, changed so that no character of an answer is lost.

- A formula is text from its first character to its last (`formulas.py`).
- A backslash is removed only where it keeps a character from being read as Markdown: before one of
  `* _ ~ # < > $` or a backtick anywhere, before `- + =` at the beginning of a line, and before `.` or `)`
  behind a number there. Any other backslash stays: it belongs to LaTeX, a path or a regular expression. A
  backslash at the end of a line stays and ends the line.
- HTML, `&lt;` and the like, `<address>`, `[name]: address` and `[words][name]` are text.
- `[words](address)` is a link when the address could be one; a title stands behind it. `table[row](column)`
  and `call[name]()` are text.
- `*` right behind an operand is no emphasis, as in `2*3*4` and `x**2 + y**2`; `__init__` is a name.
"""

from __future__ import annotations

import re
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.rules_inline.emphasis import tokenize as _emphasis_marks
from markdown_it.token import Token

from gptoss_tui.tui.widgets.formula_lines import formula_lines
from gptoss_tui.tui.widgets.formulas import formulas
from gptoss_tui.tui.widgets.tables import tables

_ESCAPED_ANYWHERE: Final = "*_~#<>$`"
_BEFORE_MARK: Final = {"-": "", "+": "", "=": "", ".": r"\d+", ")": r"\d+"}
_MARKED: Final = re.compile(r"([*_~#<>$`])")
_NAME: Final = re.compile(r"__[A-Za-z0-9]\w*__(?!\w)", re.ASCII)
_BEHIND_OPERAND: Final = re.compile(r"[A-Za-z0-9)\]}/.]")
_BEFORE_OPERAND: Final = {1: re.compile(r"[A-Za-z0-9]"), 2: re.compile(r"\d")}
_DISPLAYED: Final = re.compile(r"\\\[|\$\$|\\begin")
_ADDRESS: Final = re.compile(r"[:/.#@]")


class _Reader(MarkdownIt):
    def validateLink(self, url: str) -> bool:
        return super().validateLink(url) and bool(_ADDRESS.search(url))

    def normalizeLinkText(self, link: str) -> str:
        return link


def parser() -> MarkdownIt:
    """The parser of this dialect."""
    md = _Reader("gfm-like", {"html": False})
    md.disable(["reference", "entity", "autolink", "html_inline", "html_block"])
    md.inline.ruler.before("escape", "formula", _formula)
    md.inline.ruler.at("escape", _escape)
    md.inline.ruler.at("emphasis", _emphasis)
    md.core.ruler.after("inline", "titles", _titles)
    formula_lines(md)
    tables(md)
    return md


def literal(text: str) -> str:
    """A line of text, escaped for the label of a link, so that nothing in it is read as Markdown."""
    return _MARKED.sub(r"\\\1", text.translate({ord("["): "(", ord("]"): ")"}))


def _formula(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] not in "\\$":
        return False
    start = state.pos
    end = formulas(state.src).ends.get(start)
    if end is None or end > state.posMax:
        return False
    lines = state.src[start:end].split("\n")
    is_displayed = bool(_DISPLAYED.match(lines[0]))
    if is_displayed and state.src.startswith("\n", end) and end < state.posMax:
        lines.append("")  # the line ends behind the formula
    if not silent:
        if is_displayed and not state.pending and state.tokens and state.tokens[-1].type == "softbreak":
            state.tokens[-1].type = "hardbreak"
        for number, line in enumerate(lines):
            if number:
                state.push("hardbreak" if is_displayed else "softbreak", "br", 0)
            _push(state, line)
    state.pos = start + len("\n".join(lines))
    return True


def _escape(state: StateInline, silent: bool) -> bool:
    place = state.pos
    if state.src[place] != "\\" or place + 1 >= state.posMax:
        return False
    character = state.src[place + 1]
    state.pos += 2
    if silent:
        return True
    if character == "\n":
        _push(state, "\\")
        state.push("hardbreak", "br", 0)
        while state.pos < state.posMax and state.src[state.pos] in " \t":
            state.pos += 1
    else:
        _push(state, character if _switches_off(state.src, place, character) else "\\" + character)
    return True


def _switches_off(text: str, place: int, character: str) -> bool:
    """True when the backslash at `place` keeps the next character, `character`, from being Markdown."""
    if character in _ESCAPED_ANYWHERE:
        return True
    before = _BEFORE_MARK.get(character)
    return before is not None and bool(re.fullmatch(before, text[:place].rpartition("\n")[2].lstrip()))


def _emphasis(state: StateInline, silent: bool) -> bool:
    start, known = state.pos, len(state.delimiters)
    text = state.src
    name = _NAME.match(text, start) if text[start] == "_" and not text[start - 1 : start].isalnum() else None
    if name and name.end() <= state.posMax:
        if not silent:
            _push(state, name[0])
        state.pos = name.end()
        return True
    if not _emphasis_marks(state, silent):
        return False
    if text[start] == "*":
        behind = bool(start and _BEHIND_OPERAND.match(text, start - 1))
        before = bool(_BEFORE_OPERAND[min(state.pos - start, 2)].match(text, state.pos))
        for delimiter in state.delimiters[known:]:
            delimiter.open = delimiter.open and not behind
            delimiter.close = delimiter.close and not before
    return True


def _titles(state: StateCore) -> None:
    """Add as text what links would hide: titles, addresses without words, brackets without an address."""
    for inline in state.tokens:
        if inline.children:
            inline.children = _with_titles(inline.children)


def _with_titles(tokens: list[Token]) -> list[Token]:
    result = list[Token]()
    open_links = list[Token]()
    for token in tokens:
        result.append(token)
        if token.type == "link_open":
            open_links.append(token)
            if not token.attrs["href"]:
                result[-1] = _text("[")
        elif token.type == "link_close":
            link = open_links.pop()
            if not link.attrs["href"]:
                result[-1] = _text("]()")
            elif result[-2] is link:
                result.insert(-1, _text(str(link.attrs["href"])))
            _add_title(result, link)
        elif token.type == "image":
            if not token.attrs["src"]:
                result[-1] = _text(f"![{token.content}]()")
            _add_title(result, token)
    return result


def _add_title(tokens: list[Token], token: Token) -> None:
    if title := token.attrs.get("title"):
        tokens.append(_text(f" ({title})"))


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)


def _push(state: StateInline, content: str) -> None:
    state.push("text_special", "", 0).content = content
