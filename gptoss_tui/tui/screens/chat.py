"""The main screen: the conversation, the composer and the status line, with the actions of their keys."""

from __future__ import annotations

from pathlib import PurePath
from time import monotonic
from typing import Final

from textual import events, work
from textual.app import ComposeResult
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Markdown, TextArea

from gptoss_tui.agent.citations import linked
from gptoss_tui.agent.inventory import inventory
from gptoss_tui.agent.runtime import AgentError
from gptoss_tui.commands import Invocation, parse, starting_with
from gptoss_tui.events.events import StoreRescued
from gptoss_tui.events.printable import printable
from gptoss_tui.harmony.message import Channel, Effort, Role
from gptoss_tui.settings import Reasoning
from gptoss_tui.tui.draft import Draft
from gptoss_tui.tui.pictures import Graphics
from gptoss_tui.tui.screens.help import HelpScreen
from gptoss_tui.tui.screens.outbox import Compact, Outbox, Say, StartOver, Uncompact
from gptoss_tui.tui.screens.permissions import PermissionsScreen
from gptoss_tui.tui.screens.player import OpenSession, Player
from gptoss_tui.tui.screens.progress import Progress
from gptoss_tui.tui.widgets import keys
from gptoss_tui.tui.widgets.citation import address, explanation
from gptoss_tui.tui.widgets.composer import Composer
from gptoss_tui.tui.widgets.notice import Notice, Severity
from gptoss_tui.tui.widgets.prompt import Prompt
from gptoss_tui.tui.widgets.reasoning_pane import View
from gptoss_tui.tui.widgets.status_line import Status, StatusLine
from gptoss_tui.tui.widgets.transcript import Transcript
from gptoss_tui.tui.widgets.unsaved import UnsavedLine
from gptoss_tui.tui.widgets.user_message import UserMessage
from gptoss_tui.tui.widgets.waiting import CommandHints, Waiting
from gptoss_tui.tui.widgets.welcome import Welcome

_QUIT_WINDOW_S: Final = 2.0
# A killed program loses at most the text of so many seconds.
_DRAFT_S: Final = 0.5


class ChatScreen(Screen[None]):
    """The screen in which a person talks with the model."""

    BINDINGS = keys.CHAT
    AUTO_FOCUS = "Composer"

    def __init__(
        self,
        open_session: OpenSession,
        *,
        model: str,
        effort: Effort,
        reasoning: Reasoning,
        graphics: Graphics | None,
        first_message: str | None,
        danger: str,
        draft: Draft | None,
    ) -> None:
        super().__init__()
        self._draft = draft
        self._draft_timer: Timer | None = None
        self._model = printable(PurePath(model).name or model)
        self._first_message = first_message
        self._quit_before = 0.0
        self._outbox = Outbox(self._waiting_changed)
        self._composer = Composer(self._outbox.take_back)
        self._transcript = Transcript()
        self._unsaved = UnsavedLine()
        self._line = StatusLine(Status(self._model, effort.value, danger=danger))
        self._player = Player(
            open_session,
            effort,
            View.first(reasoning),
            graphics=graphics,
            model=self._model,
            outbox=self._outbox,
            transcript=self._transcript,
            progress=Progress(self._line),
            unsaved=self._unsaved,
            changed=self._show_state,
            give_back=self._composer.give_back,
            give_up=self._give_up,
        )

    @property
    def resume_id(self) -> str | None:
        """The ID to resume the conversation with, None while none of it is on disk."""
        return self._player.session.id if self._player.session is not None else None

    @property
    def lost(self) -> str:
        """The messages that could not be saved, in one sentence; "" for none."""
        return self._player.session.runtime.recorder.lost if self._player.session is not None else ""

    @property
    def untold(self) -> list[str]:
        """What became of the file of conversations and was not shown, in sentences."""
        news = self._player.session.saving_news() if self._player.session is not None else []
        return [one.message for one in news if isinstance(one, StoreRescued)]

    def compose(self) -> ComposeResult:
        yield self._transcript
        yield self._unsaved
        yield Waiting()
        yield CommandHints()
        yield self._composer
        yield self._line

    async def on_mount(self) -> None:
        await self._transcript.add(Welcome(self._model))
        self.query_one(Composer).placeholder = f"Message {self._model}"
        self._show_state()
        if self._draft is not None and (text := self._draft.take_up()):
            self._composer.replace_text(printable(text))
            self._add_notice("What you had written is back.")
        if self._first_message:
            self._outbox.put(Say(self._first_message))
        # After the first frame, which the imports of the chat must not delay.
        self.call_after_refresh(self._serve)

    async def on_unmount(self) -> None:
        self.save_draft()
        await self._player.close()

    def save_draft(self) -> None:
        """Write to disk the text of the person that is in no conversation yet."""
        if self._draft is not None:
            self._draft.text = self._unsent()
            self._draft.save()

    @work(group="session", exclusive=True)
    async def _serve(self) -> None:
        try:
            await self._player.run()
        except Exception:
            if self.app.is_running:  # otherwise the error comes from widgets that are gone already
                raise

    def _give_up(self, reason: str) -> bool:
        """Exit for lack of a model, unless the person has written anything; returns whether it exits."""
        if self._outbox.messages or self.query_one(Composer).text or self._transcript.query(UserMessage):
            return False
        self.app.exit(reason, 1)
        return True

    def on_screen_resume(self) -> None:
        for prompt in self.query(Prompt):
            prompt.listen_anew()

    def on_resize(self) -> None:
        for prompt in self.query(Prompt):
            prompt.show_answers()

    def on_key(self, event: events.Key) -> None:
        """Pass a character to the composer when nothing or the conversation has the focus."""
        if event.is_printable and event.character and self.focused in (None, self._transcript):
            self.query_one(Composer).focus().insert(event.character)

    def on_paste(self, event: events.Paste) -> None:
        """Pass a paste that no widget took to the composer. A question keeps the focus."""
        composer = self.query_one(Composer)
        if not any(prompt.has_focus_within for prompt in self.query(Prompt)):
            composer.focus()
        composer.paste(event.text)

    def on_composer_sent(self, event: Composer.Sent) -> None:
        invocation = parse(event.text)
        if invocation is None:
            self._outbox.put(Say(event.text))
        else:
            self.run_command(invocation)
        self._composer.forget(event.text)

    def on_markdown_link_clicked(self, event: Markdown.LinkClicked) -> None:
        # A link's text may lie about the address, so a notice shows the address, and the person decides.
        session = self._player.session
        citation = explanation(event.href, session.pages) if session else None
        self._add_notice(citation or f"The link leads to {address(event.href)}")

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        self.query_one(CommandHints).show(starting_with(event.text_area.text))
        self._save_draft_soon()

    def run_command(self, invocation: Invocation) -> None:
        """Carry out a slash command, or show why it cannot be."""
        argument = invocation.argument
        match invocation.command and invocation.command.name:
            case "help":
                self.app.push_screen(HelpScreen())
            case "new":
                self.run_worker(self.action_new())
            case "effort":
                self._set_effort(argument)
            case "thinking":
                self._set_view(argument)
            case "tools":
                self._list_tools()
            case "permissions":
                self._show_permissions()
            case "context":
                self.run_worker(self._tell_context())
            case "compact":
                self._outbox.put(Compact(argument))
            case "uncompact":
                self._outbox.put(Uncompact())
            case "copy":
                self._copy_answer()
            case "quit":
                self.app.exit()
            case None:
                self._add_notice(
                    f"There is no command /{invocation.name}. /help lists them. Nothing was sent.", "warning"
                )

    async def action_stop(self) -> None:
        """Esc: close the hints, else leave the question, else stop the turn."""
        hints = self.query_one(CommandHints)
        if hints.display:
            hints.show([])
        elif prompts := self.query(Prompt):
            prompts.first().step_back()
        else:
            await self._player.stop()

    async def action_interrupt(self) -> None:
        """Ctrl+C: copy the selection, or clear the draft, or stop the turn, or quit when pressed twice."""
        composer = self.query_one(Composer)
        selected = self.get_selected_text() or composer.selected_text
        if selected:
            self._copy(selected)
            self.clear_selection()
            composer.move_cursor(composer.cursor_location)
        elif composer.text:
            composer.clear_draft()
        elif self._player.busy:
            await self._player.stop()
        elif monotonic() < self._quit_before:
            self.app.exit()
        else:
            self._quit_before = monotonic() + _QUIT_WINDOW_S
            self.notify("Ctrl+C again to quit", timeout=_QUIT_WINDOW_S, markup=False)

    def action_effort(self) -> None:
        self._player.effort = self._player.effort.next()

    def action_thinking(self) -> None:
        if self._player.view is None:
            self._explain_hidden_reasoning()
        else:
            self._player.view = self._player.view.next()

    def action_cards(self) -> None:
        self._player.toggle_cards()

    async def action_new(self) -> None:
        self._outbox.put(StartOver())
        await self._player.stop()

    def action_end(self) -> None:
        self._transcript.anchor()
        self.refresh(layout=True)

    def action_scroll(self, pages: int) -> None:
        if pages < 0:
            self._transcript.scroll_page_up(animate=False)
        else:
            self._transcript.scroll_page_down(animate=False)

    def _set_effort(self, level: str) -> None:
        if level in list(Effort):
            self._player.effort = Effort(level)
        when = " from the next turn" if self._player.turn is not None else ""
        if level and level not in list(Effort):
            self._add_notice(f'Effort is low, medium or high, not "{level}".', "warning")
        else:
            self._add_notice(f"Effort is {self._player.effort.value}{when}.")

    def _set_view(self, view: str) -> None:
        if not view or self._player.view is None:
            self.action_thinking()
        elif view in list(View):
            self._player.view = View(view)
        else:
            self._add_notice(f'The reasoning is shown as line, tail or full, not "{view}".', "warning")

    def _explain_hidden_reasoning(self) -> None:
        why = "The reasoning is hidden, so there is nothing to open. --reasoning folded lets you open it."
        self.notify(why, markup=False)

    def _list_tools(self) -> None:
        session = self._player.session
        if session is None:
            self._add_notice("The tools are not known before the model is loaded.")
            return
        for line in inventory(session):
            self._add_notice(line)
        if not session.tools:
            self._add_notice("The model has no tools. --tools python gives it Python.")

    async def _tell_context(self) -> None:
        session = self._player.session
        if session is None or not session.runtime.is_loaded:
            self._add_notice("What fills the context is not known before the model is loaded.")
            return
        try:
            self._add_notice("\n".join((await session.context_usage()).lines()))
        except AgentError as error:
            self._add_notice(str(error), "warning")

    def _show_permissions(self) -> None:
        if self._player.session is None:
            self._add_notice("The rules are not known before the model is loaded.")
        else:
            self.app.push_screen(PermissionsScreen(self._player.session.permissions))

    def _copy_answer(self) -> None:
        session = self._player.session
        messages = session.conversation.messages if session else []
        answers = [m.text for m in messages if m.role is Role.ASSISTANT and m.channel is Channel.FINAL]
        if session and answers:
            is_json = session.options.response_format is not None
            self._copy(answers[-1] if is_json else linked(answers[-1], session.pages))
        else:
            self._add_notice("There is no answer to copy yet.")

    def _copy(self, text: str) -> None:
        self.app.copy_to_clipboard(printable(text))
        self.notify("Copied", timeout=1.5, markup=False)

    def _add_notice(self, text: str, severity: Severity = "information") -> None:
        self.run_worker(self._transcript.add(Notice(text, severity)))

    def _unsent(self) -> str:
        """The messages on their way into the conversation, then the text in the composer."""
        texts = [*self._outbox.unsent, *self._composer.leaving, self._composer.text]
        return "\n\n".join(text for text in texts if text.strip())

    def _save_draft_soon(self) -> None:
        if self._draft is not None and self._draft_timer is None:
            self._draft_timer = self.set_timer(_DRAFT_S, self._save_draft_now)

    def _save_draft_now(self) -> None:
        assert self._draft is not None
        self._draft_timer = None
        self._draft.text = self._unsent()
        self.run_worker(self._draft.save, group="draft", thread=True)  # in a thread: a disk may be slow

    def _waiting_changed(self) -> None:
        self._show_waiting()
        self._save_draft_soon()

    def _show_waiting(self) -> None:
        when = "next" if self._player.ready else "when the model is ready"
        self.query_one(Waiting).show([printable(text) for text in self._outbox.messages], when)

    def _show_state(self) -> None:
        is_busy = self._player.busy
        composer = self.query_one(Composer)
        composer.border_subtitle = "Esc stops · Enter queues" if is_busy else "Enter sends · F1 help"
        self._show_waiting()
