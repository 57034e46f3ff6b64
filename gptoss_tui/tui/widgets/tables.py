"""Tables that lose no text: a bar in a formula, in code or in the last column parts no cells."""

from __future__ import annotations

import re
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_block import table as _gfm_table

from gptoss_tui.tui.widgets.formulas import formulas

# Stands for a bar that parts no cells, while the lines are parsed; the parser removes it from any text.
_BAR: Final = "\0"
_DELIMITERS: Final = re.compile(r"[ \t]*(?=[|:-])[|: \t-]*-[|: \t-]*")
_CODE: Final = re.compile(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)")
_PARTING: Final = re.compile(r"(?<!\\)\|")


def tables(md: MarkdownIt) -> None:
    """Teach `md` to keep every character of a table."""
    md.block.ruler.at("table", _table, {"alt": ["paragraph", "reference"]})


def _table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A rule for tables of GitHub's Markdown; bars in formulas, in code and in the last column are text."""
    if start + 2 > end or "|" not in _line(state, start):
        return False
    delimiters = _line(state, start + 1)
    if not _DELIMITERS.fullmatch(delimiters):
        return False
    source, first_token = state.src, len(state.tokens)
    columns = delimiters.strip().strip("|").count("|") + 1
    pieces, copied = list[str](), 0
    for number in range(start, start + 1 if silent else end):
        if state.isEmpty(number):
            break
        if number != start + 1:
            begin, stop = state.bMarks[number] + state.tShift[number], state.eMarks[number]
            pieces += [source[copied:begin], _row(source[begin:stop], columns if number > start else None)]
            copied = stop
    state.src = "".join([*pieces, source[copied:]])
    is_table = _gfm_table(state, start, end, silent)
    state.src = source
    for token in state.tokens[first_token:]:
        token.content = token.content.replace(_BAR, "|")
    return is_table


def _row(line: str, columns: int | None) -> str:
    """The line of a row of `columns` columns (None: any number), with `_BAR` for bars that part no cells."""
    if "|" not in line:
        return line
    for opened, closed in formulas(line).ends.items():
        line = line[:opened] + line[opened:closed].replace("|", _BAR) + line[closed:]
    line = _CODE.sub(lambda code: _PARTING.sub(_BAR, code[0]), line)
    if columns is None:
        return line
    bars = [bar.start() for bar in _PARTING.finditer(line)]
    if bars and not line[: bars[0]].strip():
        del bars[0]
    if bars and not line[bars[-1] + 1 :].strip():
        del bars[-1]
    for bar in bars[columns - 1 :]:
        line = line[:bar] + _BAR + line[bar + 1 :]
    return line


def _line(state: StateBlock, number: int) -> str:
    return state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]]
