"""The Person of the line REPL: it prints a question as lines of text and reads the typed answer."""

from __future__ import annotations

import signal
import sys
import termios

from ..events.printable import printable, revealed
from ..permissions.question import Approval, Crowded, Decision, GoOn, MakeRoom, Nobody, Pause, Question

_APPROVALS = {
    "y": Approval.ONCE,
    "yes": Approval.ONCE,
    "a": Approval.SESSION,
    "A": Approval.ALWAYS,
    "e": Approval.EDIT,
}


class AtTheTerminal:
    """Asks on stdout and reads stdin. Without a terminal it answers like Nobody."""

    async def approve(self, question: Question) -> Decision:
        """Show the whole call and ask. Only a clear yes that was typed after the question is a yes."""
        if not sys.stdin.isatty():
            return await Nobody().approve(question)
        _show(question)
        lasting = f", [a] this session or [A]lways ({question.rule})" if question.rule else ""
        line = (_read_answer(f"Run it? [y]es, once{lasting}, [e]dit, [N]o (n REASON): ") or "").strip()
        answer, _, reason = line.partition(" ")
        match _APPROVALS.get(answer, Approval.NO):
            case Approval.EDIT:
                return _edit(question)
            case Approval.SESSION | Approval.ALWAYS if not question.rule:
                print("Every call of it is asked about; not run.")
                return Decision(Approval.NO)
            case Approval.NO:
                is_no = answer.lower() in ("n", "no", "")
                return Decision(Approval.NO, reason=(reason if is_no else line).strip())
            case approval:
                return Decision(approval)

    async def go_on(self, pause: Pause) -> GoOn:
        """Ask whether the turn goes on. An unclear answer stops it."""
        if not sys.stdin.isatty():
            return await Nobody().go_on(pause)
        _discard_input()
        print(pause.sentence)
        line = (_read_answer("[c]ontinue, ask for the [a]nswer now, [S]top: ") or "").strip()
        return {"c": GoOn.CONTINUE, "a": GoOn.ANSWER}.get(line[:1].lower(), GoOn.STOP)

    async def make_room(self, crowded: Crowded) -> MakeRoom:
        """Ask how the conversation is made to fit. An unclear answer stops the turn."""
        if not sys.stdin.isatty():
            return await Nobody().make_room(crowded)
        _discard_input()
        print(crowded.sentence)
        line = (_read_answer("The oldest turns: [s]um them up, [l]eave them out, [N]either: ") or "").strip()
        return {"s": MakeRoom.COMPACT, "l": MakeRoom.DROP}.get(line[:1].lower(), MakeRoom.STOP)


def read_line(prompt: str) -> str | None:
    """The next line of stdin, None at its end. The prompt is printed only for a terminal."""
    try:
        return input(prompt if sys.stdin.isatty() else "")
    except EOFError:
        return None


def _show(question: Question) -> None:
    _discard_input()
    tool = question.tool
    origin = f", from {tool.origin}" if tool.origin else ""
    count = question.arguments.count("\n") + 1
    lines = f" ({count:,} lines)" if count > 1 else ""
    print(f"{printable(f'{question.recipient} wants to run {tool.where}{origin}')}{lines}:")
    print(revealed(question.arguments))
    for remark in (question.why, question.objection):
        if remark:
            print(printable(remark))
    sys.stdout.flush()


def _edit(question: Question) -> Decision:
    """Read new arguments line by line; Ctrl+C answers no."""
    print("Write the arguments anew; a line with a single dot ends them. (A dot at once keeps them.)")
    lines: list[str] = []
    while (line := _read_answer("")) != ".":
        if line is None:
            return Decision(Approval.NO)
        lines.append(line)
    return Decision(Approval.EDIT, arguments="\n".join(lines) if lines else question.arguments)


def _read_answer(prompt: str) -> str | None:
    """The next line; None for Ctrl+C and at the end of stdin."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return read_line(prompt)
    except KeyboardInterrupt:
        print()
        return None
    finally:
        signal.signal(signal.SIGINT, previous)


def _discard_input() -> None:
    """Discard the keys typed before a question, which are no answer to it."""
    termios.tcflush(sys.stdin, termios.TCIFLUSH)
