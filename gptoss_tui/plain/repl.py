"""A line REPL: no boxes, no animation, for screen readers and dumb terminals."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from .. import commands
from ..agent.inventory import inventory
from ..agent.runtime import AgentError
from ..agent.session import Session
from ..events.events import Events
from ..events.printable import printable
from ..harmony.message import Effort
from ..permissions.always import LastingAnswerError
from .ask import ANSWERED, FAILED, Open, ask, close, follow, load
from .asking import AtTheTerminal, read_line
from .show import AsText, complain


def converse(open_session: Open, show: AsText) -> int:
    """Read lines from stdin, each a message or a slash command, until its end; returns the exit status."""
    with suppress(ImportError):
        import readline  # noqa: F401  (gives input() history and editing)
    with asyncio.Runner() as runner:
        try:
            session = runner.run(_open(open_session, show))
        except AgentError as error:
            complain(str(error))
            return FAILED
        try:
            while (line := read_line("> ")) is not None:
                if invocation := commands.parse(line):
                    following = runner.run(_obey(session, invocation, show))
                    if following is None:
                        break
                    session = following
                elif line.strip():
                    runner.run(_say(session, line, show))
            return ANSWERED
        finally:
            runner.run(close(session))


async def _open(open_session: Open, show: AsText) -> Session:
    session = open_session(AtTheTerminal())
    try:
        await load(session, show)
        async for event in session.equip():  # now: nothing runs in the background while a line is read
            show(event)
        await session.settle()
    except BaseException:
        await close(session)
        raise
    print(f"{printable(session.runtime.model)}. /help lists the commands, Ctrl+D ends.", flush=True)
    for text, events in session.past():
        print(f"> {printable(text)}")
        for event in events:
            show(event)
        show.end_line()
    return session


async def _say(session: Session, text: str, show: AsText) -> None:
    """Run one turn; a failure is reported, and the conversation goes on."""
    try:
        await ask(session, text, show)
        await session.settle()
    except AgentError as error:
        complain(str(error))


async def _obey(session: Session, invocation: commands.Invocation, show: AsText) -> Session | None:
    """Carry out a slash command; returns the session to go on with, None when the person wants to leave."""
    match invocation.command and invocation.command.name, invocation.argument:
        case "quit", _:
            return None
        case "new", _:
            session = await session.successor()
            print("A new chat.")
        case "effort", argument:
            _set_effort(session, argument)
        case "tools", _:
            print(printable("\n".join(inventory(session)) or "No tools."))
        case "permissions", argument:
            _permissions(session, argument)
        case "compact", argument:
            await _change_context(session, session.compact(argument), show)
        case "uncompact", _:
            await _change_context(session, session.uncompact(), show)
        case "context", _:
            await _tell_context(session)
        case "help", _:
            print("/compact [what to heed]  /uncompact  /context")
            print("/new  /effort low|medium|high  /tools  /permissions [revoke N]  /quit")
        case _:
            print(f"There is no /{printable(invocation.name)} here; /help lists what there is.")
    return session


async def _change_context(session: Session, work: Events, show: AsText) -> None:
    """Do what changes what the model is shown, until Ctrl+C; a failure is reported."""
    try:
        await follow(session, work, show)
    except AgentError as error:
        complain(str(error))
    await session.settle()


async def _tell_context(session: Session) -> None:
    try:
        print("\n".join((await session.context_usage()).lines()))
    except AgentError as error:
        complain(str(error))


def _set_effort(session: Session, argument: str) -> None:
    if argument and argument not in list(Effort):
        print(f"Effort is low, medium or high, not {printable(argument)}.")
        return
    session.effort = Effort(argument) if argument else session.effort.next()
    print(f"Effort: {session.effort}, from the next message.")


def _permissions(session: Session, argument: str) -> None:
    """List the rules, or revoke one by its number."""
    standing = session.permissions.standing()
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
            session.permissions.revoke(chosen)
        except LastingAnswerError as error:
            complain(str(error))
            return
        print(f"Revoked: {chosen.verb} {printable(chosen.rule)}")
        return
    for count, each in enumerate(standing, 1):
        print(f"{count}. {each.verb} {printable(each.rule)} ({each.origin})")
    print(session.permissions.summary)
