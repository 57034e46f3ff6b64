"""What an answer says is what the screen shows: no character of a formula is lost, and none of the text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.screen import Screen

from gptoss_tui.harmony import Effort
from gptoss_tui.tui import widgets
from gptoss_tui.tui.app import ChatApp
from gptoss_tui.tui.widgets.formulas import formulas
from gptoss_tui.tui.widgets.prose import Prose

StageMaker = Callable[..., Any]


class Sheet(Screen[None]):
    def compose(self) -> ComposeResult:
        yield VerticalScroll()


class Page(ChatApp):
    """The application with nothing but text on it."""

    def __init__(self) -> None:
        super().__init__(NotImplemented, model="none", effort=Effort.MEDIUM)

    def get_default_screen(self) -> Screen[None]:
        return Sheet()


class Reader:
    """Shows texts, one after the other, and reads the screen."""

    def __init__(self, stage: Any, run: Callable[[Any], str]) -> None:
        self._stage = stage
        self._run = run

    def shown(self, text: str, steps: tuple[int, ...] = (1_000_000,)) -> str:
        """The characters on the screen when `text` was written in pieces of these lengths, over and over."""
        return self._run(self._show(text, steps))

    async def _show(self, text: str, steps: tuple[int, ...]) -> str:
        place = self._stage.app.screen.query_one(VerticalScroll)
        prose = Prose()
        await place.mount(prose)
        count = 0
        while text:
            step = steps[count % len(steps)]
            prose.write(text[:step])
            await prose.flush()
            text, count = text[step:], count + 1
        await prose.finish()
        await self._stage.pilot.pause()
        screen: str = self._stage.screen
        await place.remove_children()
        return screen


@pytest.fixture(scope="module")
def reader(stage_type: type[Any]) -> Iterator[Reader]:
    """A page so high that nothing is out of sight."""
    with asyncio.Runner() as runner:
        app = Page()
        running = app.run_test(size=(80, 120))
        pilot = runner.run(_entered(running))
        yield Reader(stage_type(app, pilot, None), runner.run)
        runner.run(_left(running))


async def _entered(running: Any) -> Any:
    return await running.__aenter__()


async def _left(running: Any) -> None:
    await running.__aexit__(None, None, None)


def ink(text: str) -> str:
    """The text without its blanks."""
    return "".join(text.split())


def holds(shown: str, wanted: str) -> bool:
    """True when every character of `wanted` stands in `shown`, in this order."""
    rest = iter(ink(shown))
    return all(character in rest for character in ink(wanted))


AS_WRITTEN = [
    r"\(a^2 + b^2\)",
    r"$$\int_0^1 x\,dx$$",
    r"\[ x \; y \! z \]",
    r"$a_i b_j$ and $x*y*z$",
    r"\(x_1 * y_2 * z_3\)",
    r"\( \{ \| \_ \% \$ \# \& \\ \* \)",
    r"\begin{pmatrix} a & b \\ c & d \end{pmatrix}",
    r"so \begin{cases} *a* \begin{cases} *b* \end{cases} *c* \end{cases}",
    "\\[\n= a\n- b\n+ c\n> d\n# e\n1. f\n---\n===\n| g | h |\n```\n\\]",
    "so we get \\[ a\n= b\n===\n- c \\] at last",
    "$$\n\n*a*\n\n- *b*\n\n$$",
    "\\begin{align}\n\n*a* &= b\n\n\\end{align}.",
    "so \\(a\n- b\\) and $a\n+ b$ both",
    "\\[\na\n- cut off",
    "Thus\n$$\n- cut off",
    r"A lone \( or \) or \[ or \] or \, or \\ or \{ or \alpha or $ or $$ stays.",
    "It costs $5 and $10, or 3$.",
    "$HOME/bin:$PATH and a $ b $ c",
    r"2*3*4 = 24, x**2 + y**2 = z**2, (a+b)*c*(d+e), src/**/*.py and tests/**/*.py",
    "__init__ and __name__",
    r"C:\Users\.git, \\server\share, \d+\.\d+ and \"quoted\"",
    "a command \\\n  with a second line",
    "a < b &lt; c &amp; d &copy; e",
    "Vec<String> <think> <br> <!-- hidden --> <b>bold</b> vector<std::string>",
    "<https://a.org/%D0%9F> and https://b.org/%20?a=%C3%A9 and xn--80ak6aa92e.com",
    "[INFO]: started\n[x]: https://a.org 'title'\n[^1]: note\n[words][x] and [^1] and [x]",
    "table[row](column) and call[name]() and ![picture]()",
    "2. two\n4. four\n7. seven",
    "3) three\n4) four",
]


@pytest.mark.parametrize("text", AS_WRITTEN)
def test_it_is_shown_as_written(reader: Reader, text: str) -> None:
    assert ink(reader.shown(text)) == ink(text)
    assert ink(reader.shown(text, (1,))) == ink(text)


READ = {
    r"5 \* 3, snake\_case, \# no heading, \`no code\`, \$5 and \$6, \<b\>, \~": (
        "5 * 3, snake_case, # no heading, `no code`, $5 and $6, <b>, ~"
    ),
    "1\\. no list\n\\- none\n\\+ none": "1. no list - none + none",
    "**bold** *it* _it_ __two words__ ~~old~~ **L**ight": "bold it it two words old Light",
    r"*f*(x) and `\(x\)` and `a_b`": r"f(x) and \(x\) and a_b",
    "`$a` and *it* and `$b`": "$a and it and $b",
    "```tex\n\\(x\\) &lt; \\*\n```": r"\(x\) &lt; \*",
    '```python title="a.py"\nprint()\n```': 'python title="a.py" print()',
    "```ls -la\n```": "ls -la",
    "## The formula \\(a_i * b_i\\)": r"The formula \(a_i * b_i\)",
    "- \\(x_1*y_1\\)\n- $$ a\n  - b $$": r"• \(x_1*y_1\) • $$ a - b $$",
    "> \\[\n> - a\n> = b\n> \\]": r"▌\[ ▌- a ▌= b ▌\]",
    "1. item:\n\\[\n- b\n\\]\n2. next": r"1. item: \[ - b \] 2. next",
    "* a\n  * b\n \\[\n* c\n> d\n\\]\n* e": r"• a ▪ b \[ * c > d \] • e",
    "+ c\n$$\n- 1\n= 3\n# 4\n> 5\n$$": "• c $$ - 1 = 3 # 4 > 5 $$",
    "> text\n\\[\n- b\n\\]\nmore": r"▌ text \[ - b \] more",
    "> a\nso \\[ x\n- b \\]\n- c": r"▌ a so \[ x - b \] • c",
    "- > a\n  $$\n  > b\n  $$\n- c": "• ▌ a $$ > b $$ • c",
    "1. a\n\\[\n\n- b\n\n\\]": r"1. a \[ - b \]",
    '[words](https://a.org "title") ![picture](a.png "its title") [](https://b.org)': (
        "words (title) 🖼  picture (its title) https://b.org"
    ),
}


@pytest.mark.parametrize("text", READ)
def test_markdown_is_read(reader: Reader, text: str) -> None:
    assert ink(reader.shown(text)).rstrip("▌") == ink(READ[text])


@pytest.mark.parametrize(
    "row", ["$|x|$ | b", r"$\|x\|$ | b", "`a|b` | c", "a | b | c | d", r"\(\{x \mid x|y\}\) | *z*|w"]
)
def test_a_table_loses_nothing(reader: Reader, row: str) -> None:
    shown = reader.shown(f"| head | $|y|$ |\n|------|:---:|\n| {row} |\n| last | row |\n\nafter")
    assert "after" in shown and "$|y|$" in shown
    for cell in row.replace("*", "").replace("`", "").split(" | "):
        assert ink(cell) in ink(shown)
    assert "│ last" in shown, "the table is one"


def test_a_word_wider_than_its_column_is_folded(reader: Reader) -> None:
    words = [str(digit) * 30 for digit in range(1, 7)]
    shown = reader.shown(f"|{'|'.join(words)}|\n{'|--' * 6}|\n|{'|'.join(words)}|")
    for word in words:
        assert shown.count(word[0]) == 60


def test_what_lies_too_deep_is_shown_as_its_source(reader: Reader) -> None:
    items = "".join("  " * depth + f"- item {depth}\n" for depth in range(14))
    for text in (items + "\nafter", "> " * 30 + "quoted\n\nafter"):
        assert holds(reader.shown(text), text)
        assert holds(reader.shown(text, (5,)), text)


@pytest.mark.parametrize("part", ["prose.cut", "prose.size", "growing_markdown.code"])
@pytest.mark.parametrize("steps", [(5,), (1000,)])
@pytest.mark.parametrize(
    "block", ["```python\nfaulty = 1\n```", "- one\n- two\n\n  ```\n  faulty\n  ```\n- three"]
)
def test_what_cannot_be_drawn_is_shown_as_its_source(
    reader: Reader, monkeypatch: pytest.MonkeyPatch, part: str, steps: tuple[int, ...], block: str
) -> None:
    sound = attrgetter(part)(widgets)

    def faulty(text: str, *rest: object, **options: object) -> object:
        if "faulty" in text:
            raise ArithmeticError
        return sound(text, *rest, **options)

    monkeypatch.setattr(f"gptoss_tui.tui.widgets.{part}", faulty)
    text = f"before\n\n{block}\n\nand *after* it"
    shown = reader.shown(text, steps)
    for word in ("before", "faulty", "and", "after", "it"):
        assert shown.count(word) == 1
    assert holds(shown.replace("•", "-"), "".join(c for c in text if c not in "`*").replace("python", ""))


def test_a_rule_is_seen(reader: Reader) -> None:
    assert "────" in reader.shown("above\n\n---\n\nbelow")


WORDS = st.sampled_from(["the", "x_1", "snake_case_name", "5", "a-b", "(c)", "where", "½", "ключ", "式"])
COMMANDS = st.sampled_from(
    [
        r"\alpha",
        r"\frac{1}{2}",
        r"\,",
        r"\;",
        r"\!",
        r"\\",
        r"\{",
        r"\}",
        r"\|",
        r"\%",
        r"\&",
        r"\left(",
        r"\^",
    ]
)
SYNTAX = r"a_i b_j * ** _ __ ~~ # > < = - + & | &lt; [x](y) [x]: \_ \* \# 1. === --- <b> ![z]( ''"
PARTS = COMMANDS | st.sampled_from(SYNTAX.split(" "))
BODIES = st.lists(PARTS, min_size=1, max_size=6)


def displayed(opening: str, closing: str) -> st.SearchStrategy[str]:
    return st.builds(
        lambda parts, gap: gap.join([opening, *parts, closing]), BODIES, st.sampled_from([" ", "\n"])
    )


FORMULAS = st.one_of(
    displayed(r"\(", r"\)"),
    displayed(r"\[", r"\]"),
    displayed("$$", "$$"),
    displayed(r"\begin{bmatrix}", r"\end{bmatrix}"),
    BODIES.map(lambda parts: f"$x{' '.join(parts)}y$"),
)
LONE = st.sampled_from([r"\(", r"\)", r"\[", r"\]", "$$", "$", r"\begin{x}", r"\end{y}"])
GAPS = st.sampled_from([" ", " ", " ", "\n", "\n\n"])
STEPS = st.lists(st.integers(1, 30), min_size=1, max_size=5).map(tuple)


@settings(max_examples=60)
@given(st.lists(st.tuples(WORDS | COMMANDS | FORMULAS, GAPS), max_size=12), STEPS)
def test_words_and_formulas_are_shown_as_written(
    reader: Reader, pieces: list[tuple[str, str]], steps: tuple[int, ...]
) -> None:
    text = "".join(piece + gap for piece, gap in pieces)
    assert ink(reader.shown(text, steps)) == ink(text)


@settings(max_examples=60)
@example([("5", " "), (r"\)", "")], (1,))  # no list begins with a blank before its mark
@given(st.lists(st.tuples(WORDS | COMMANDS | LONE, GAPS), max_size=16), STEPS)
def test_marks_without_a_partner_are_shown_as_written(
    reader: Reader, pieces: list[tuple[str, str]], steps: tuple[int, ...]
) -> None:
    text = "".join(piece + gap for piece, gap in pieces)
    assert ink(reader.shown(text, steps)) == ink(text)


INLINE = st.one_of(
    WORDS,
    FORMULAS.map(lambda formula: formula.replace("\n", " ")),
    WORDS.map(lambda word: f"**{word}**"),
    WORDS.map(lambda word: f"*{word}*"),
    st.sampled_from([r"`\(c_1*d\)`", "[link](https://a.org)", "~~old~~"]),
)
LINES = st.lists(INLINE, min_size=1, max_size=4).map(" ".join)
BLOCKS = st.one_of(
    LINES,
    LINES.map(lambda line: f"- {line}\n- {line}\n  - {line}"),
    LINES.map(lambda line: f"1. {line}\n3. {line}"),
    LINES.map(lambda line: f"> {line}"),
    LINES.map(lambda line: f"### {line}"),
    LINES.map(lambda line: f"```\n{line}\n```"),
    displayed("$$", "$$"),
    st.just("---"),
)


ABOVE = st.sampled_from(["- one", "7. one", "- one\n  - two", "> one", "> - one", "- > one", "text"])
INNER = st.sampled_from(["- b", "+ c", "* d", "= e", "# f", "> g", "1. h", "---", "===", "| i |", "x"])


@settings(max_examples=60)
@given(
    ABOVE,
    st.integers(0, 3),
    st.sampled_from([(r"\[", r"\]"), ("$$", "$$"), (r"\begin{x}", r"\end{x}"), (r"so \(y", r"\)")]),
    st.lists(INNER, min_size=1, max_size=5),
    STEPS,
)
def test_the_lines_of_a_formula_behind_a_block_are_shown_as_written(
    reader: Reader, above: str, indent: int, marks: tuple[str, str], inner: list[str], steps: tuple[int, ...]
) -> None:
    formula = "\n".join(" " * indent + line for line in [marks[0], *inner, marks[1]])
    shown = ink(reader.shown(f"{above}\n{formula}\n9. last", steps)).replace("▌", "")
    assert ink(formula) in shown


@settings(max_examples=40)
@given(st.lists(BLOCKS, max_size=4), STEPS)
def test_between_markdown_every_formula_and_word_survives(
    reader: Reader, parts: list[str], steps: tuple[int, ...]
) -> None:
    text = "\n\n".join(parts)
    shown = reader.shown(text, steps)
    assert shown == reader.shown(text), "in pieces as at once"
    without_marks = text.replace("](https://a.org)", "")
    assert holds(shown, "".join(c for c in without_marks if c.isalnum()))
    for start, end in formulas(without_marks).ends.items():
        assert holds(shown, without_marks[start:end])


async def test_what_is_copied_is_what_was_said(stage: StageMaker) -> None:
    said = "\\(a^2\\) &lt; $x_i$ \\*\n\n$$\\int_0^1 x\\,dx$$\n\n[x]: /y"
    async with stage(f"<|channel|>final<|message|>{said}<|return|>") as s:
        await s.ready()
        await s.say("hi")
        await s.until_shown("effort medium ·")
        assert r"$$\int_0^1 x\,dx$$" in s.screen
        await s.say("/copy")
        await s.until(lambda: s.app.clipboard == said)
