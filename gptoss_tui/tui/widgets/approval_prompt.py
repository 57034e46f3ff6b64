"""The question whether a call may run."""

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
"""Lines of the card above the question: its title, and what keeps them apart."""


class ApprovalPrompt(Prompt[Decision]):
    """Shows the whole call, with nothing hidden in it, and what there is to weigh.

    A long call scrolls inside, so that the buttons stay in view. Two of the answers take more words: the call
    can be edited, and a no can have a reason.
    """

    BINDINGS = keys.APPROVAL

    def __init__(self, question: Question) -> None:
        super().__init__(_ONCE | (_LASTING if question.rule else {}) | _OTHER)
        self._question = question
        self._shown = revealed(question.arguments)

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
        """The call, or its editor, gets the lines that everything else leaves."""
        box = self.query_one(".arguments")
        others = self.virtual_size.height - box.outer_size.height if box.display else 8
        # Textual leaves out limits in other units than lines where a parent's height is its content's.
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
                self._open(LineEditor(self._shown, hint), name)
            case "why":
                hint = "What shall the model be told? · Enter says it · Esc says no more than no"
                self._open(LineEditor("", hint), name)
            case "session" | "always" if not self._question.rule:
                pass  # keys that have no button now
            case _:
                self._cast(Decision(Approval(name)))

    def action_scroll(self, lines: int) -> None:
        """Look at another part of a long call."""
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
            # Hidden characters that were not touched become the marks that stood for them.
            unchanged = event.text == self._shown
            arguments = self._question.arguments if unchanged else event.text
            self._cast(Decision(Approval.EDIT, arguments=arguments))

    def _whole_call(self) -> Widget:
        """The arguments in colour; very long ones plain, in a widget that lays out only what is in view."""
        text = self._shown.strip("\n")
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
    """Who would do what, where, and how much there is to read."""
    tool, lines = question.tool, question.arguments.strip("\n").count("\n") + 1
    where, origin = f"It runs {tool.where}.", f"Defined by {tool.origin}."
    facts = [where if tool.where else "", origin if tool.origin else ""]
    if lines > 1 or len(question.arguments) > 200:
        facts.append(f"{lines:,} line{'s' * (lines > 1)}, {len(question.arguments):,} characters.")
    said = " ".join(revealed(fact).replace("\n", " ") for fact in facts if fact)
    return Content.assemble(("Run this call? ", "bold $text-warning"), said)
