"""Formulas of several lines, which Markdown would take for lists, headings or quotes."""

from __future__ import annotations

from typing import Any, Final

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock

from gptoss_tui.tui.widgets.formulas import closing, formulas

# Set in the environment of a parse whose text still grows: a formula that is open may still be closed.
GROWING: Final = "growing"

# The most lines from a line that opens a formula to the line that closes it.
_FARTHEST: Final = 100
_FENCES: Final = ("```", "~~~")


def formula_lines(md: MarkdownIt) -> None:
    """Teach `md` to keep the lines of a formula together in one paragraph."""
    md.block.ruler.before("table", "display", _display, {"alt": ["paragraph"]})
    md.block.ruler.before("table", "behind_quote", _behind_quote, {"alt": ["blockquote"]})
    md.block.ruler.before("lheading", "formula_lines", _mark)


def _display(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A rule for a formula whose marks stand on lines of their own: a paragraph that may have empty lines."""
    mark = closing(_line(state, start))
    if mark is None or state.is_code_block(start):
        return False
    if silent:  # unlike such a formula, a paragraph ends at the next empty line
        return start + 1 < end and state.isEmpty(start + 1)
    last = _closed_at(state, start, end, mark)
    if last is None:
        return False
    state.line = last + 1
    token = state.push("paragraph_open", "p", 1)
    token.map = [start, state.line]
    token = state.push("inline", "", 0)
    token.content = state.getLines(start, state.line, state.blkIndent, False).strip()
    token.map = [start, state.line]
    token.children = []
    state.push("paragraph_close", "p", -1)
    return True


def _behind_quote(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A rule that ends a quote before a line that would lazily continue it and that leaves a formula open."""
    return silent and state.parentType == "blockquote" and bool(formulas(_line(state, start)).unclosed)


def _closed_at(state: StateBlock, start: int, end: int, mark: str) -> int | None:
    """The line that closes the display formula of line `start`; None if nothing does before another block."""
    opening = _line(state, start)
    for number in range(start + 1, min(end, start + _FARTHEST)):
        line = _line(state, number)
        if line.rstrip(".,;") == mark:
            return number
        if line and (state.sCount[number] < state.blkIndent or line == opening or line.startswith(_FENCES)):
            return None
    return end - 1 if end <= start + _FARTHEST and _goes_on(state, end) else None


def _mark(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Mark the lines of formulas in the paragraph at `start`, so that none of them ends the paragraph.

    The parser gives the same mark to the lines that lazily continue a quote.
    """
    if silent or ("\\" not in state.src and "$" not in state.src):
        return False
    rules = state.md.block.ruler.getRules("paragraph")
    parent, state.parentType = state.parentType, "paragraph"
    line = start
    while True:
        last = _last(state, line, end)
        for number in range(line + 1, last + 1):
            state.sCount[number] = -1
        line = last + 1
        if line >= end or state.isEmpty(line) or any(rule(state, line, end, True) for rule in rules):
            break
    state.parentType = parent
    return False


def _last(state: StateBlock, line: int, end: int) -> int:
    """The line that closes the formulas open at the end of `line`; `line` itself if none is open there."""
    first = _line(state, line)
    if not formulas(first).unclosed:
        return line
    lines = [first]
    # A line that lazily continues a list item is outside the item, and so is the line's formula.
    indent = state.blkIndent if state.sCount[line] >= state.blkIndent else 0
    for number in range(line + 1, min(end, line + _FARTHEST)):
        text = _line(state, number)
        if not text or 0 <= state.sCount[number] < indent:
            break
        lines.append(text)
    together = "\n".join([*lines, ""])
    found = formulas(together)
    edge = len(first)
    for opened, closed in found.ends.items():
        if opened < edge < closed:
            edge = together.find("\n", closed - 1)
    if any(place < edge for place in found.unclosed) and _goes_on(state, line + len(lines)):
        return line + len(lines) - 1
    return line + together.count("\n", 0, edge)


def _goes_on(state: StateBlock, line: int) -> bool:
    """True when more text may still come behind the line before `line`."""
    env: Any = state.env
    return bool(env.get(GROWING)) and line >= len(state.bMarks) - 1


def _line(state: StateBlock, number: int) -> str:
    return state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]].rstrip(" \t")
