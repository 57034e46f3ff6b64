"""A line REPL: no boxes, no animation, for screen readers and dumb terminals."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from .. import commands
from ..agent.chat import Chat, ChatError
from ..agent.inventory import inventory
from ..events.printable import printable
from ..harmony.message import Effort
from ..permissions.always import LastingAnswerError
from .ask import ANSWERED, FAILED, Open, ask, close, load
from .asking import AtTheTerminal, read_line
from .show import AsText, complain


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
            while (line := read_line("> ")) is not None:
                if invocation := commands.parse(line):
                    if not runner.run(_obey(chat, invocation)):
                        break
                elif line.strip():
                    runner.run(_say(chat, line, show))
            return ANSWERED
        finally:
            runner.run(close(chat))


async def _open(open_chat: Open, show: AsText) -> Chat:
    chat = open_chat(AtTheTerminal())
    try:
        await load(chat, show)
        async for event in chat.equip():  # now: nothing runs in the background while a line is read
            show(event)
    except BaseException:
        await close(chat)
        raise
    print(f"{printable(chat.model)}. /help lists the commands, Ctrl+D ends.", flush=True)
    for text, events in chat.past():
        print(f"> {printable(text)}")
        for event in events:
            show(event)
        show.end_line()
    return chat


async def _say(chat: Chat, text: str, show: AsText) -> None:
    """Run one turn; a failure is reported, and the conversation goes on."""
    try:
        await ask(chat, text, show)
    except ChatError as error:
        complain(str(error))


async def _obey(chat: Chat, invocation: commands.Invocation) -> bool:
    """Carry out a slash command; returns False when the person wants to leave."""
    match invocation.command and invocation.command.name, invocation.argument:
        case "quit", _:
            return False
        case "new", _:
            await chat.new()
            print("A new chat.")
        case "effort", argument:
            _set_effort(chat, argument)
        case "tools", _:
            print(printable("\n".join(inventory(chat)) or "No tools."))
        case "permissions", argument:
            _permissions(chat, argument)
        case "help", _:
            print("/new  /effort low|medium|high  /tools  /permissions [revoke N]  /quit")
        case _:
            print(f"There is no /{printable(invocation.name)} here; /help lists what there is.")
    return True


def _set_effort(chat: Chat, argument: str) -> None:
    if argument and argument not in list(Effort):
        print(f"Effort is low, medium or high, not {printable(argument)}.")
        return
    chat.effort = Effort(argument) if argument else chat.effort.next()
    print(f"Effort: {chat.effort}, from the next message.")


def _permissions(chat: Chat, argument: str) -> None:
    """List the rules, or revoke one by its number."""
    standing = chat.permissions.standing()
    verb, _, number = argument.partition(" ")
    if argument and (verb != "revoke" or not number.strip().isdecimal()):
        print("/permissions lists the rules; /permissions revoke N takes back the rule of that number.")
        return
    if argument:
        place = int(number) - 1
        chosen = standing[place] if 0 <= place < len(standing) else None
        if chosen is None or chosen.answer is None:
            what = "There is no rule of that number" if chosen is None else f"{chosen.origin} says so"
            print(f"{what}; nothing was revoked.")
            return
        try:
            chat.permissions.revoke(chosen)
        except LastingAnswerError as error:
            complain(str(error))
            return
        print(f"Revoked: {chosen.verb} {printable(chosen.rule)}")
        return
    for count, each in enumerate(standing, 1):
        print(f"{count}. {each.verb} {printable(each.rule)} ({each.origin})")
    print(chat.permissions.summary)
