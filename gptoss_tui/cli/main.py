"""gptoss-chat: arguments -> the screen, a line REPL, or one answer.

Nothing heavy is imported before the arguments are understood: `--help` and a typing error answer at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ..settings import KEYS, Settings, SettingsError, read_settings
from .arguments import USAGE, Parser, parser
from .subcommands import SUBCOMMANDS

if TYPE_CHECKING:
    from pathlib import Path

    from ..agent.session import Session
    from ..permissions.question import Person
    from ..tui.log import ScreenLog
    from ..tui.pictures import Graphics

    Opener = Callable[[Person], Session]

FAILED, INTERRUPTED = 1, 130
_MOST_WORDS = 200

_FOR_THE_BROWSER = {"search", "searxng", "documents", "zim", "allow_hosts"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: the process's own); returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    look = _look_back(argv[0], argv[1:]) if argv and argv[0] in SUBCOMMANDS else None
    given = {} if look else vars(parser().parse_args(argv))
    try:
        if look:
            return look()
        flags = {key: value for key, value in given.items() if key in KEYS}
        settings = replace(read_settings(flags, os.environ), bypass="bypass" in given)
        if settings.schema:
            _check_schema(settings.schema)
        return _talk(settings, given)
    except SettingsError as error:
        return _wrong(str(error))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # What is still buffered has no reader: without this the interpreter would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _complain("nobody reads the output any more", FAILED)


def _check_schema(file: Path) -> None:
    """Say what is wrong with the schema before anything is loaded, drawn or asked; raises SettingsError."""
    from ..agent.response_format import read_response_format

    read_response_format(file)


def _look_back(name: str, arguments: Sequence[str]) -> Callable[[], int]:
    """The subcommand, its arguments understood; the call gives its exit status."""
    from . import subcommands

    summary = SUBCOMMANDS[name]
    about = f"{summary[0].upper()}{summary[1:]}."
    reader = Parser(prog=f"gptoss-chat {name}", description=about, allow_abbrev=False)
    subcommands.arguments(name, reader)
    given = reader.parse_args(arguments)
    _tolerate_any_locale()
    return partial(subcommands.run, name, given)


def _talk(settings: Settings, given: dict[str, str | bool]) -> int:
    """Choose the front end. A pipe on stdin is a question, or the context of one."""
    question = given.get("prompt")
    plain, json = "plain" in given, "json" in given
    if "browser" not in settings.tools and (idle := _FOR_THE_BROWSER & set(given)):
        option = f"--{min(idle).replace('_', '-')}"
        return _wrong(f"{option} is for the browser, which is off: add --tools python,browser")
    if "show_reasoning" in given and settings.reasoning == "hidden":
        return _wrong("--show-reasoning asks for what reasoning = hidden keeps back; leave one of them out")
    reasoning = "show_reasoning" in given or settings.reasoning == "raw"
    if plain and (json or question is not None):
        return _wrong("--plain is a conversation: it takes neither -p nor --json")
    resume = given.get("resume")
    if plain:
        return _converse(_opener(_untold(settings, reasoning), resume), reasoning)
    if question is None and sys.stdin is not None and sys.stdin.isatty():
        if json:
            return _wrong("--json needs a question: give it with -p or on stdin")
        return _open_screen(settings, _opener(settings, resume))
    prompt = _prompt(question)
    if not prompt:
        where = (
            "" if question is not None else " (stdin is no terminal, and nothing came from it); ask with -p"
        )
        return _wrong(f"the prompt is empty{where}")
    opener = _opener(_untold(settings, json or reasoning), resume)
    return _answer(opener, prompt, json=json, reasoning=reasoning)


def _untold(settings: Settings, reasoning: bool) -> Settings:
    """Reasoning that is not shown anyway is hidden, so that no filter is waited for."""
    return settings if reasoning else replace(settings, reasoning="hidden")


def _prompt(question: str | bool | None) -> str:
    """What is put to the model: stdin, an empty line, the question. Empty if there is no question."""
    stdin = b"" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.buffer.read()
    piped = stdin.decode("utf-8", "replace").strip("\r\n")
    if not isinstance(question, str):
        return piped if piped.strip() else ""
    # An argument that is not UTF-8 reaches us with surrogates in it, which no tokenizer takes.
    question = question.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if not question.strip():
        return ""
    return f"{piped}\n\n{question}" if piped.strip() else question


def _answer(opener: Opener, prompt: str, *, json: bool, reasoning: bool) -> int:
    from ..plain.ask import one_shot
    from ..plain.show import AsText, as_json

    _tolerate_any_locale()
    notes = sys.stderr if reasoning or sys.stderr.isatty() else None
    show = as_json if json else AsText(notes, sys.stderr if reasoning else None)
    return one_shot(opener, prompt, show)


def _converse(opener: Opener, reasoning: bool) -> int:
    from ..plain.repl import converse
    from ..plain.show import AsText

    _tolerate_any_locale()
    return converse(opener, AsText(sys.stdout, sys.stdout if reasoning else None))


def _open_screen(settings: Settings, opener: Opener) -> int:
    for stream in (sys.stdout, sys.stderr):  # Textual asks the one and draws on the other
        if stream is None or not stream.isatty():
            name = "stdout" if stream is sys.stdout else "stderr"
            return _wrong(f"{name} is no terminal to draw on; ask one question with -p, or talk with --plain")
    if os.environ.get("TERM", "dumb") == "dumb":
        return _wrong("this terminal (TERM=dumb) cannot be drawn on; gptoss-chat --plain works in it")
    from ..assemble.preflight import preflight

    if why := preflight(settings):
        return _complain(why, FAILED)
    from ..tui.app import ChatApp
    from ..tui.draft import Draft, drafts_folder
    from ..tui.log import keep_log

    log, draft = keep_log(), Draft(drafts_folder())
    app = ChatApp(
        opener,
        model=settings.model,
        effort=settings.effort,
        reasoning=settings.reasoning,
        graphics=_graphics(settings),
        danger=_danger(settings),
        draft=draft,
    )
    if settings.theme:
        if settings.theme not in app.available_themes:
            return _wrong(f"no theme is called {settings.theme}; there are {', '.join(app.available_themes)}")
        app.theme = settings.theme
    reason = None
    try:
        reason = app.run()
    except Exception as error:
        app.note_crash(error)
    resume = f"gptoss-chat --resume {app.kept_as} goes on with this conversation" if app.kept_as else ""
    if app.crash is not None:
        return _complain(_obituary(app.crash, log, draft.is_kept, resume), FAILED)
    if reason:
        return _complain(reason, FAILED)
    if resume and sys.stdout.isatty():  # the terminal may be gone
        print(f"{resume}.")
    if app.lost:
        _complain(app.lost, FAILED)
    return app.return_code or 0


def _obituary(crash: BaseException, log: ScreenLog, draft_is_kept: bool, resume: str) -> str:
    """What ended the screen, in a few words, and where everything is."""
    words = " ".join(f"{type(crash).__name__}: {crash}".split())
    return "; ".join(
        part
        for part in (
            f"the screen failed ({words if len(words) <= _MOST_WORDS else f'{words[:_MOST_WORDS]}…'})",
            f"the details are in {log.path}" if log.is_whole else f"{log.path} cannot be written",
            "what you had written comes back at the next start" if draft_is_kept else "",
            resume,
        )
        if part
    )


def _graphics(settings: Settings) -> Graphics | None:
    """How pictures are drawn: as it was chosen, or as the terminal is known to."""
    from ..tui.pictures import graphics

    match settings.pictures:
        case "off":
            return None
        case "auto":
            return graphics(os.environ)
        case chosen:
            return chosen


def _danger(settings: Settings) -> str:
    """What the person should not forget that they chose, in a word or two."""
    if settings.bypass:
        return "unconfined, unasked"
    return "full access" if settings.sandbox == "danger-full-access" else ""


def _opener(settings: Settings, resume: str | bool | None) -> Opener:
    """What opens the session when a front end asks: the screen wants its first frame before heavy imports."""

    def opener(person: Person) -> Session:
        from ..assemble.assemble import open_session

        return open_session(settings, person, resume=resume if isinstance(resume, str) else None)

    return opener


def _tolerate_any_locale() -> None:
    """Show `?` for what the locale's encoding lacks, rather than fail in the middle of an answer."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]


def _wrong(message: str) -> int:
    return _complain(message, USAGE)


def _complain(message: str, status: int) -> int:
    from ..plain.show import complain

    complain(message)
    return status
