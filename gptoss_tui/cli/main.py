"""gptoss-chat: arguments -> the screen, a line REPL, or one answer.

Nothing heavy is imported before the arguments are understood: `--help` and a typing error answer at once.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..settings import KEYS, Settings, SettingsError, read_settings
from .arguments import USAGE, CommandLineParser, parser
from .streams import StreamError, standard_streams
from .subcommands import SUBCOMMANDS

if TYPE_CHECKING:
    from ..agent.session import Session
    from ..permissions.question import Person
    from ..tui.log import ScreenLog
    from ..tui.pictures import Graphics

    Opener = Callable[[Person], Session]

FAILED, INTERRUPTED = 1, 130
_MOST_WORDS = 200

_BROWSER_SETTINGS = {"search", "searxng", "documents", "zim", "allow_hosts"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: the process's own); returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        with standard_streams():
            return _run(argv)
    except SettingsError as error:
        return _wrong(str(error))
    except KeyboardInterrupt:
        return INTERRUPTED
    except StreamError as error:
        return _complain(str(error), FAILED)


def _run(argv: Sequence[str]) -> int:
    try:
        subcommand = _subcommand(argv[0], argv[1:]) if argv and argv[0] in SUBCOMMANDS else None
        options = {} if subcommand else vars(parser().parse_args(argv))
    except SystemExit:
        sys.stdout.flush()  # whether the help could be printed, before the status says so
        raise
    try:
        Path.cwd()
    except OSError as error:
        return _complain(f"the current folder cannot be used ({error.strerror}); change to another", FAILED)
    if subcommand:
        return subcommand()
    flags = {key: value for key, value in options.items() if key in KEYS}
    settings = replace(read_settings(flags, os.environ), bypass="bypass" in options)
    if settings.schema:
        _check_schema(settings.schema)
    return _talk(settings, options)


def _check_schema(file: Path) -> None:
    """Raise SettingsError for a schema that cannot be used, before the program loads or draws anything."""
    from ..agent.response_format import read_response_format

    read_response_format(file)


def _subcommand(name: str, arguments: Sequence[str]) -> Callable[[], int]:
    """A function that runs the subcommand `name` with the parsed arguments and returns its exit status."""
    from . import subcommands

    summary = SUBCOMMANDS[name]
    description = f"{summary[0].upper()}{summary[1:]}."
    parser = CommandLineParser(prog=f"gptoss-chat {name}", description=description, allow_abbrev=False)
    subcommands.arguments(name, parser)
    options = parser.parse_args(arguments)
    return partial(subcommands.run, name, options)


def _talk(settings: Settings, options: dict[str, str | bool]) -> int:
    """Choose the front end and run it. Text piped into stdin is a question, or the context of a question."""
    question = options.get("prompt")
    plain, json = "plain" in options, "json" in options
    if "browser" not in settings.tools and (unused := _BROWSER_SETTINGS & set(options)):
        option = f"--{min(unused).replace('_', '-')}"
        return _wrong(f"{option} is for the browser, which is off: add --tools python,browser")
    if "show_reasoning" in options and settings.reasoning == "hidden":
        return _wrong("--show-reasoning asks for what reasoning = hidden keeps back; leave one of them out")
    reasoning = "show_reasoning" in options or settings.reasoning == "raw"
    if plain and (json or question is not None):
        return _wrong("--plain is a conversation: it takes neither -p nor --json")
    resume = options.get("resume")
    if plain:
        return _converse(_opener(_hiding(settings, reasoning), resume), reasoning)
    if question is None and sys.stdin.isatty():
        if json:
            return _wrong("--json needs a question: give it with -p or on stdin")
        return _open_screen(settings, _opener(settings, resume))
    prompt = _prompt(question)
    if not prompt:
        where = (
            "" if question is not None else " (stdin is no terminal, and nothing came from it); ask with -p"
        )
        return _wrong(f"the prompt is empty{where}")
    # There is no second message to read ahead for.
    opener = _opener(replace(_hiding(settings, json or reasoning), read_ahead=False), resume)
    return _answer(opener, prompt, json=json, reasoning=reasoning)


def _hiding(settings: Settings, reasoning: bool) -> Settings:
    """The settings; where no reasoning is printed they hide it, so that no answer waits for its filter."""
    return settings if reasoning else replace(settings, reasoning="hidden")


def _prompt(question: str | bool | None) -> str:
    """The prompt for the model: the text on stdin, an empty line, the question; "" without a question."""
    stdin = b"" if sys.stdin.isatty() else sys.stdin.buffer.read()
    piped = stdin.decode("utf-8", "replace").strip("\r\n")
    if not isinstance(question, str):
        return piped if piped.strip() else ""
    # An argument that is not UTF-8 arrives with surrogates in it, which no tokenizer takes.
    question = question.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if not question.strip():
        return ""
    return f"{piped}\n\n{question}" if piped.strip() else question


def _answer(opener: Opener, prompt: str, *, json: bool, reasoning: bool) -> int:
    from ..plain.ask import one_shot
    from ..plain.show import AsText, as_json

    notes = sys.stderr if reasoning or sys.stderr.isatty() else None
    show = as_json if json else AsText(notes, sys.stderr if reasoning else None)
    return one_shot(opener, prompt, show)


def _converse(opener: Opener, reasoning: bool) -> int:
    from ..plain.repl import converse
    from ..plain.show import AsText

    return converse(opener, AsText(sys.stdout, sys.stdout if reasoning else None))


def _open_screen(settings: Settings, opener: Opener) -> int:
    for stream in (sys.stdout, sys.stderr):  # Textual looks at stdout and draws on stderr
        if not stream.isatty():
            name = "stdout" if stream is sys.stdout else "stderr"
            return _wrong(f"{name} is no terminal to draw on; ask one question with -p, or talk with --plain")
    if os.environ.get("TERM", "dumb") == "dumb":
        return _wrong("this terminal (TERM=dumb) cannot be drawn on; gptoss-chat --plain works in it")
    from ..assemble.preflight import preflight

    if why := preflight(settings):
        return _complain(why, FAILED)
    from ..tui.log import keep_log

    log = keep_log()
    try:
        return _run_screen(settings, opener, log)
    except Exception as error:  # before the screen ran; once it runs it notes its own crash
        logging.getLogger(__name__).error("the screen failed", exc_info=error)
        return _complain(_obituary(error, log), FAILED)


def _run_screen(settings: Settings, opener: Opener, log: ScreenLog) -> int:
    from ..tui.app import ChatApp
    from ..tui.draft import Draft, drafts_folder

    draft = Draft(drafts_folder())
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
    resume = f"gptoss-chat --resume {app.resume_id} goes on with this conversation" if app.resume_id else ""
    if app.crash is not None:
        written = "what you had written comes back at the next start" if draft.is_saved else ""
        return _complain(_obituary(app.crash, log, app.lost, written, resume), FAILED)
    if reason:
        return _complain(reason, FAILED)
    if resume and sys.stdout.isatty():  # the terminal may be gone
        print(f"{resume}.")
    for news in (*app.untold, app.lost):
        if news:
            _complain(news, FAILED)
    return app.return_code or 0


def _obituary(crash: BaseException, log: ScreenLog, *remarks: str) -> str:
    """The end of the screen in one line: the reason in a few words, the log, and the remarks."""
    words = " ".join(f"{type(crash).__name__}: {crash}".split())
    parts = (
        f"the screen failed ({words if len(words) <= _MOST_WORDS else f'{words[:_MOST_WORDS]}…'})",
        f"the details are in {log.path}" if log.is_whole else f"{log.path} cannot be written",
        *(f"{remark[0].lower()}{remark[1:]}" for remark in remarks if remark),
    )
    return "; ".join(parts)


def _graphics(settings: Settings) -> Graphics | None:
    """The way to draw pictures: as the person chose, else as the terminal can; None for no pictures."""
    from ..tui.pictures import graphics

    match settings.pictures:
        case "off":
            return None
        case "auto":
            return graphics(os.environ)
        case chosen:
            return chosen


def _danger(settings: Settings) -> str:
    """The dangerous choice that the status line repeats, in a word or two; "" for none."""
    if settings.bypass:
        return "unconfined, unasked"
    return "full access" if settings.sandbox == "danger-full-access" else ""


def _opener(settings: Settings, resume: str | bool | None) -> Opener:
    """A function that opens the chat. Its imports are heavy: the screen calls it after the first frame."""

    def opener(person: Person) -> Session:
        from ..assemble.assemble import open_session

        return open_session(settings, person, resume=resume if isinstance(resume, str) else None)

    return opener


def _wrong(message: str) -> int:
    return _complain(message, USAGE)


def _complain(message: str, status: int) -> int:
    from ..plain.show import complain

    complain(message)
    return status
