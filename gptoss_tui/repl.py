"""A line REPL: no boxes, no animation, for screen readers and dumb terminals."""

from __future__ import annotations

import asyncio
import signal
import sys
import termios
from contextlib import suppress

from . import commands
from .conversation.approval import Approval
from .conversation.chat import Chat, ChatError
from .conversation.events import ToolCall
from .conversation.printable import printable, revealed
from .harmony.message import Effort
from .plain import ANSWERED, FAILED, AsText, Open, ask, complain, load, refuse
from .tools import Tool


def converse(open_chat: Open, show: AsText) -> int:
    """Read lines from stdin, each a message or a slash command, until its end; returns the exit status."""
    with suppress(ImportError):
        import readline  # noqa: F401  (gives input() history and editing)
    with asyncio.Runner() as runner:
        try:
            chat = runner.run(_open(open_chat, show))
        except ChatError as error:
            complain(str(error))
            return FAILED
        try:
            while (line := _read_line("> ")) is not None:
                if invocation := commands.parse(line):
                    if not runner.run(_obey(chat, invocation)):
                        break
                elif line.strip():
                    runner.run(_say(chat, line, show))
            return ANSWERED
        finally:
            runner.run(chat.close())


async def _open(open_chat: Open, show: AsText) -> Chat:
    chat = open_chat(_ask_for_approval)
    try:
        await load(chat, show)
        async for event in chat.equip():  # nothing goes on in the background while a line is read
            show(event)
    except BaseException:
        await chat.close()
        raise
    print(f"{printable(chat.model)}. /help lists the commands, Ctrl+D ends.", flush=True)
    for said, told in chat.past():
        print(f"> {printable(said)}")
        for event in told:
            show(event)
        show.end_line()
    return chat


async def _say(chat: Chat, text: str, show: AsText) -> None:
    """One turn of many: what fails is said, and the conversation goes on."""
    try:
        await ask(chat, text, show)
    except ChatError as error:
        complain(str(error))


def _read_line(prompt: str) -> str | None:
    """The next line of stdin, None at its end. The prompt is for people: a pipe is not prompted."""
    try:
        return input(prompt if sys.stdin.isatty() else "")
    except EOFError:
        return None


async def _ask_for_approval(call: ToolCall, tool: Tool) -> Approval:
    """Show the whole call and ask; anything but a clear yes, typed after the question, is a no."""
    if not sys.stdin.isatty():
        return await refuse(call, tool)
    termios.tcflush(sys.stdin, termios.TCIFLUSH)
    print(f"{call.recipient} wants to run {tool.where}:\n{revealed(call.arguments)}", flush=True)
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        answer = _read_line("Run it? [y]es, yes for this [s]ession, [N]o: ") or ""
    except KeyboardInterrupt:
        answer = ""
    finally:
        signal.signal(signal.SIGINT, previous)
    return {"y": Approval.ONCE, "yes": Approval.ONCE, "s": Approval.SESSION}.get(
        answer.strip().lower(), Approval.NO
    )


async def _obey(chat: Chat, invocation: commands.Invocation) -> bool:
    """Carry out a slash command; False when the person wants to leave."""
    match invocation.command and invocation.command.name, invocation.argument:
        case "quit", _:
            return False
        case "new", _:
            await chat.new()
            print("A new chat.")
        case "effort", argument:
            _set_effort(chat, argument)
        case "tools", _:
            print("\n".join(f"{tool.name}: runs {tool.where}" for tool in chat.tools) or "No tools.")
        case "help", _:
            print("/new  /effort low|medium|high  /tools  /quit")
        case _:
            print(f"There is no /{printable(invocation.name)} here; /help lists what there is.")
    return True


def _set_effort(chat: Chat, argument: str) -> None:
    if argument and argument not in list(Effort):
        print(f"Effort is low, medium or high, not {printable(argument)}.")
        return
    chat.effort = Effort(argument) if argument else chat.effort.next()
    print(f"Effort: {chat.effort}, from the next message.")
