"""The prompt that asks whether a call may run."""

from __future__ import annotations

from typing import Final

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from gptoss_tui.events.printable import printable, revealed
from gptoss_tui.permissions.question import Approval, Decision, Question
from gptoss_tui.tui.widgets import keys
from gptoss_tui.tui.widgets.code import code
from gptoss_tui.tui.widgets.editor import Editor
from gptoss_tui.tui.widgets.line_editor import LineEditor
from gptoss_tui.tui.widgets.prompt import Prompt

_ONCE: Final = {"no": "n  No", "once": "y  Once"}
_LASTING: Final = {"session": "a  This session", "always": "A  Always"}
_OTHER: Final = {"edit": "e  Edit", "why": "Esc  No, and why"}

_MOST_COLOURED_LINES: Final = 300
_TITLE: Final = 3
"""The number of lines of the card above the question: its title and a gap."""


class ApprovalPrompt(Prompt[Decision]):
    """Shows the whole call, with nothing hidden in it, and the reason for the question.

    A long call scrolls inside, so that the buttons stay in view. Two answers open an editor: one edits the
    call, the other gives a reason for a no.
    """

    BINDINGS = keys.APPROVAL

    def __init__(self, question: Question) -> None:
        super().__init__(_ONCE | (_LASTING if question.rule else {}) | _OTHER)
        self._question = question
        self._revealed = revealed(question.arguments)

    def compose(self) -> ComposeResult:
        question = self._question
        yield Static(_headline(question), classes="question")
        if question.objection:
            yield Static(Content.styled(printable(question.objection), "$text-error"), classes="why")
        if question.why:
            yield Static(Content(revealed(question.why)), classes="why")
        yield self._whole_call()
        if question.rule:
            yield Static(Content(f"a and A stop asking for: {revealed(question.rule)}"), classes="rule")
        yield from super().compose()

    def fit(self, room: int) -> None:
        """Give the call, or its editor, the lines that everything else leaves."""
        box = self.query_one(".arguments")
        others = self.virtual_size.height - box.outer_size.height if box.display else 8
        # Textual ignores limits in other units than lines where the parent is as high as its content.
        box.styles.max_height = max(3, room - others - _TITLE)
        for editor in self.query(LineEditor):
            editor.styles.max_height = max(3, room - others - _TITLE)

    def refuse(self) -> None:
        self._cast(Decision(Approval.NO))

    def step_back(self) -> None:
        if self.query(LineEditor):
            self.refuse()
        else:
            self.action_choose("why")

    def choose(self, name: str) -> None:
        if self._ballot.is_over or self.query(LineEditor):
            return
        match name:
            case "edit":
                hint = "Enter asks again with this · Ctrl+J new line · Esc back"
                self._open(LineEditor(self._revealed, hint), name)
            case "why":
                hint = "What shall the model be told? · Enter says it · Esc says no more than no"
                self._open(LineEditor("", hint), name)
            case "session" | "always" if not self._question.rule:
                pass  # keys without a button here
            case _:
                self._cast(Decision(Approval(name)))

    def action_scroll(self, lines: int) -> None:
        """Scroll a long call."""
        self.query_one(".arguments").scroll_relative(y=lines, animate=False)

    async def on_line_editor_done(self, event: LineEditor.Done) -> None:
        event.stop()
        if event.editor.id == "why":
            self._cast(Decision(Approval.NO, reason=(event.text or "").strip()))
        elif event.text is None:
            await event.editor.remove()
            self.remove_class("-writing")
            self.focus_first()
        else:
            # In an edited call, marks stand for the hidden characters even where nobody edited it.
            unchanged = event.text == self._revealed
            arguments = self._question.arguments if unchanged else event.text
            self._cast(Decision(Approval.EDIT, arguments=arguments))

    def _whole_call(self) -> Widget:
        """The arguments in colour; very long ones without, in a widget that lays out only visible lines."""
        text = self._revealed.strip("\n")
        if text.count("\n") > _MOST_COLOURED_LINES:
            plain = Editor(text, read_only=True, show_line_numbers=False, compact=True, classes="arguments")
            plain.can_focus = False
            return plain
        language = "python" if self._question.recipient == "python" else "json"
        coloured = Static(code(text, language), markup=False)
        return VerticalScroll(coloured, classes="arguments", can_focus=False)

    def _open(self, editor: LineEditor, name: str) -> None:
        editor.id = name
        self.add_class("-writing", f"-{name}")
        self.mount(editor)
        editor.focus()


def _headline(question: Question) -> Content:
    """The question, the place where the tool runs, its origin, and the length of the call."""
    tool, lines = question.tool, question.arguments.strip("\n").count("\n") + 1
    where, origin = f"It runs {tool.where}.", f"Defined by {tool.origin}."
    facts = [where if tool.where else "", origin if tool.origin else ""]
    if lines > 1 or len(question.arguments) > 200:
        facts.append(f"{lines:,} line{'s' * (lines > 1)}, {len(question.arguments):,} characters.")
    remarks = " ".join(revealed(fact).replace("\n", " ") for fact in facts if fact)
    return Content.assemble(("Run this call? ", "bold $text-warning"), remarks)
