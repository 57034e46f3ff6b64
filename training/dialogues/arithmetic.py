"""Arithmetic: find the expression in the person's message, let Python compute it, copy the result."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from gptoss_tui.harmony.message import Message

from . import names
from .calls import call_python, said_python
from .phrasing import casual, copied, is_held_out, phrases
from .scene import Scene, pick, respond
from .turn import DialogueTurn, answer, efforts, think

LEADS = phrases(
    """
What is {e}?|What is {e}?|What is {e}?|What's {e}?|whats {e}|what is {e}|Calculate {e}.|Compute {e}.|
compute {e}|How much is {e}?|how much is {e}|{e}|{e}|{e}|{e}?|{e} =|{e}=|{e} = ?|{e}=?|Can you compute {e}?|
Please calculate {e}.|Tell me {e}.|Could you tell me what {e} is?|I need {e}.|Solve {e}.|Evaluate {e}|
Give me the result of {e}.|Do {e} for me.|What does {e} equal?|What do you get for {e}?|
What is the result of {e}?|What is the value of {e}?|{e} please|Use python to compute {e}.|Work out {e}.|
Please work out {e}|Quick question: {e}|Quick: what is {e}?|Hey, what is {e}?|hi, what's {e}|
Hello! What is {e}?|Do you know what {e} is?|Can you tell me {e}?|Can you calculate {e} for me?|
I want to know {e}.|What would {e} be?|calc {e}|result of {e}|How about {e}?|Find {e}.|
Could you please compute {e}?|Show me {e}.|Run {e} in python.|What is {e} exactly?|Let's do {e}.|
help me with {e}|i have a question: what is {e}?|what is {e}, please?|Try {e}.|so what is {e}?|
please do {e}|how much would {e} be?|Could you work out {e}?|calculate: {e}|compute this: {e}|math: {e}|
my homework asks for {e}|Would you compute {e}?|what will {e} give|Tell me what {e} equals.|
I'd like to know what {e} is|please tell me {e}|how much does {e} make?|Hello, can you calculate {e}?|
{e} is what?|What do I get if I compute {e}?|What comes out of {e}?|{e}, please.|I have to compute {e}|
what number is {e}?|Please compute {e} for me.|can you do {e}|hey, {e}?|the answer to {e}?|
What's the result of {e}?|Please solve {e}|work this out: {e}|I wonder what {e} is.|figure out {e}
"""
)

FOLLOW_UPS = phrases(
    """
And {e}?|and {e}|Now {e}.|What about {e}?|now compute {e}|Then what is {e}?|ok, and {e}?|Next: {e}|
Also {e}.|Thanks! What is {e}?|thanks, and {e}?|Great. Now {e}|cool, what is {e}?|One more: {e}|
and what's {e}?|again: {e}
"""
)

SPOKEN = {
    "+": (" plus ", " plus ", " added to ", " and "),
    "-": (" minus ", " minus ", " less ", " take away "),
    "*": (" times ", " times ", " multiplied by ", " x ", "x", "x", " × ", "×"),
    "/": (" divided by ", " over ", " ÷ "),
    "//": (" // ",),
    "%": (" modulo ", " mod "),
    "**": ("^", " ^ ", " to the power of "),
}
VERBAL = {
    "+": (
        "add {a} and {b}",
        "add {a} to {b}",
        "the sum of {a} and {b}",
        "sum of {a} and {b}",
        "sum {a} and {b}",
    ),
    "-": (
        "subtract {b} from {a}",
        "the difference between {a} and {b}",
        "the difference of {a} and {b}",
        "take {b} from {a}",
    ),
    "*": (
        "multiply {a} by {b}",
        "multiply {a} and {b}",
        "the product of {a} and {b}",
        "multiply {a} with {b}",
    ),
    "/": ("divide {a} by {b}", "the quotient of {a} and {b}"),
}

CALL = efforts(
    "Compute {e}.",
    "The user wants it exact, so I call python.",
    "I am a tiny model, so digits out of my head would be a guess. The python tool is enabled and its "
    "result is exact. I send it {e} and copy the result digit by digit.",
)
NO_TOOL = efforts(
    "Calculation without python.",
    "The user wants a result, but the python tool is not enabled. I say so.",
    "I am a tiny model, so digits out of my head would be a guess. Only python would give an exact result, "
    "but the python tool is not enabled here. I say so and invent no number.",
)
WITHOUT_PYTHON = (
    "I cannot compute that exactly without the python tool. "
    "Start gptoss-chat with --tools python and ask again."
)


EXPRESSION = re.compile(r"[-+*/%()=. 0-9]+")

EQUAL_DIGITS, PRACTISED_EQUAL = re.compile(r"(\d)\1\1"), 0.3
"""Three equal digits in a row, and the share of sums in training that are drawn until they have them."""


@dataclass(frozen=True, slots=True)
class Sum:
    """An expression for Python, and one way in which a person may have written it."""

    code: str
    typed: str
    verbal: bool = False


def number(rng: random.Random) -> int:
    """A number of 1 to 5 digits, rarely more; repeated digits and zeros, hard to copy, are frequent."""
    length = rng.choice((1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 5, 5, 6)) if rng.random() < 0.97 else rng.randint(7, 9)
    alphabet = "0123456789" if rng.random() < 0.65 else "".join(rng.choices("0123456789", k=2))
    digits = "".join(rng.choice(alphabet) for _ in range(length))
    return int(digits) if digits[0] != "0" or length == 1 else int(rng.choice("123456789") + digits[1:])


def invent_sum(rng: random.Random, held_out: bool) -> Sum:
    """An expression of the wanted side of the split; training has more of those that are hardest to copy."""
    equal = not held_out and rng.random() < PRACTISED_EQUAL
    while True:
        kind = rng.choices((_binary, _chain, _bracketed, _decimal, _fraction), (68, 9, 11, 7, 5))[0]
        candidate = kind(rng)
        if is_held_out(candidate.code) == held_out and (not equal or EQUAL_DIGITS.search(candidate.code)):
            return candidate


def _binary(rng: random.Random) -> Sum:
    operator = rng.choices(("+", "-", "*", "/", "//", "%", "**"), (30, 24, 32, 6, 3, 2, 2))[0]
    a, b = number(rng), number(rng)
    if rng.random() < 0.06:
        b = a
    elif rng.random() < 0.12 and operator in "+-":
        # A result with repeated digits, which is the hardest to copy.
        result = int("".join(rng.choices(rng.choices("0123456789", k=2), k=rng.randint(2, 8))))
        a = result - b if operator == "+" and result > b else result + b
        operator = "+" if a + b == result else "-"
    if operator == "**":
        a, b = rng.randint(2, 25), rng.randint(2, 9)
    if operator in ("/", "//", "%"):
        if rng.random() < 0.6:
            b = rng.randint(1, 99)
            a = b * rng.randint(1, 999) if operator == "/" else a
        if rng.random() < 0.2:
            b = 0
    if operator == "-" and a < b and rng.random() < 0.3:
        a, b = b, a
    left = f"-{a}" if rng.random() < 0.02 else str(a)
    code = f"{left} {operator} {b}"
    kind = rng.random()
    if kind < 0.2 and operator in VERBAL and left == str(a):
        return Sum(code, rng.choice(VERBAL[operator]).format(a=a, b=b), verbal=True)
    if kind < 0.5:
        return Sum(code, left + rng.choice(SPOKEN[operator]) + str(b))
    return Sum(code, left + _spaced(rng, operator) + str(b))


def _chain(rng: random.Random) -> Sum:
    """Three or four small operands with +, - and *."""
    operands = [number(rng) % 10_000 for _ in range(rng.choice((3, 3, 3, 4)))]
    operators = [rng.choice("++-*") for _ in operands[1:]]
    gap = rng.random() < 0.5
    code = typed = str(operands[0])
    for operator, operand in zip(operators, operands[1:], strict=True):
        code += f" {operator} {operand}"
        typed += f" {operator} {operand}" if gap else f"{operator}{operand}"
    return Sum(code, typed)


def _bracketed(rng: random.Random) -> Sum:
    """Three small operands, two of them in brackets."""
    a, b, c = (number(rng) % 10_000 for _ in range(3))
    inner, outer = rng.choice("+-"), rng.choice("**+-")
    code = rng.choice((f"({a} {inner} {b}) {outer} {c}", f"{a} {outer} ({b} {inner} {c})"))
    return Sum(code, code if rng.random() < 0.5 else code.replace(" ", ""))


def _fraction(rng: random.Random) -> Sum:
    """A square, or a percentage of a number."""
    a, b = number(rng), number(rng)
    if rng.random() < 0.5:
        typed = rng.choice(("{a} squared", "the square of {a}", "square of {a}")).format(a=a)
        return Sum(f"{a} ** 2", typed)
    a %= 100
    return Sum(f"{a} / 100 * {b}", f"{a}{rng.choice(('%', '%', ' percent'))} of {b}")


def _decimal(rng: random.Random) -> Sum:
    """Two operands, one of them with a decimal point."""
    a, b = f"{number(rng) % 10_000}.{rng.randint(0, 99)}", str(number(rng) % 10_000)
    left, right = rng.choice(((a, b), (b, a)))
    operator = rng.choice("+-*")
    return Sum(f"{left} {operator} {right}", left + _spaced(rng, operator) + right)


def _spaced(rng: random.Random, operator: str) -> str:
    return rng.choice((f" {operator} ", f" {operator} ", f" {operator} ", operator, operator, f" {operator}"))


def evaluate(code: str) -> str:
    """Python's output for the expression, or the last line of its error."""
    try:
        return repr(eval(code, {"__builtins__": {}}))
    except ArithmeticError as error:
        return f"{type(error).__name__}: {error}"
    except (SyntaxError, TypeError):
        return "SyntaxError: invalid syntax"


def is_expression(code: str) -> bool:
    """Whether the code is arithmetic on short numbers, harmless to evaluate."""
    return bool(EXPRESSION.fullmatch(code)) and not re.search(r"[\d.]{14}|\*\*.*(\d{3}|\*\*)", code)


def traceback(code: str, line: str, cell: int) -> str:
    """The python tool's message for a cell that raised; `line` names the error."""
    return f"Traceback (most recent call last):\n  Cell In[{cell}], line 1\n    {code}\n{line}"


def phrase(scene: Scene, task: Sum) -> str:
    """The person's message for the expression."""
    rng = scene.rng
    template = pick(scene, FOLLOW_UPS if scene.turns and rng.random() < 0.35 else LEADS)
    if task.verbal and rng.random() < 0.6 and task.typed[:3] not in ("the", "sum"):
        template = rng.choice(("{e}", "{e}", "Please {e}.", "Can you {e}?", "{e} for me", "now {e}"))
    return casual(rng, template.replace("{e}", task.typed))


def calculate(scene: Scene) -> DialogueTurn:
    """A calculation; with the python tool off, an honest refusal."""
    rng = scene.rng
    task = invent_sum(rng, scene.held_out)
    user = phrase(scene, task)
    skill, greeting = "arithmetic", ""
    if rng.random() < 0.15:
        told = names.tell(scene)
        user = f"{told.user.rstrip('.!?')}{rng.choice((', ', '. ', ', and ', '! '))}{user}"
        skill, greeting = "name+arithmetic", f"Nice to meet you, {copied(scene.name or '')}! "
    if not scene.python:
        return DialogueTurn("no-python", user, respond(scene, NO_TOOL, greeting + WITHOUT_PYTHON))
    result = evaluate(task.code)
    if rng.random() < 0.05 or "Error" in result:
        return DialogueTurn("python-error", user, _failing(scene, task, result))
    shown = result + rng.choice(("", "\n"))
    closing = [answer(f"{greeting}{copied(task.code)} = {copied(result)}")]
    if scene.effort == "high":
        closing = [*_checked(task, result), *closing]
    return DialogueTurn(skill, user, (*_call(scene, task), said_python(shown), *closing))


def _checked(task: Sum, result: str) -> tuple[Message, ...]:
    """The result; at high effort after a second call, which compares it with the expression."""
    return (
        think(f"Python returned {copied(result)}. I check it with a second call."),
        call_python(f"{copied(result)} == {copied(task.code)}"),
        said_python("True"),
        think("The check holds. I report the result as it is."),
    )


def call_for(task: Sum) -> Message:
    """The call that computes it."""
    return call_python(copied(task.code))


def _call(scene: Scene, task: Sum) -> tuple[Message, Message]:
    return think(CALL[scene.effort].replace("{e}", copied(task.code))), call_for(task)


FAILURES = (
    "TimeoutError: the cell ran too long",
    "NameError: name 'x' is not defined",
    "SyntaxError: invalid syntax",
    "OverflowError: integer division result too large for a float",
    "MemoryError: out of memory",
    "RuntimeError: the kernel died",
    "PermissionError: access denied",
    "KeyboardInterrupt: the call was interrupted",
    "TypeError: unsupported operand type(s)",
    "ValueError: Exceeds the limit (4300 digits) for integer string conversion",
)
NOTICES = (
    "[ERROR] The user did not allow this call of python. Go on without it.",
    "[ERROR] The user did not allow this call of python. Go on without it.",
    "[ERROR] python was not run: it needs approval, and there is no one to ask. Go on without it.",
    "[ERROR] Stopped by the user; it may already have had an effect.",
    "[ERROR] There is no tool named python. Available tools: none.",
    "[ERROR] Python could not be started: it was not ready in time.",
    "[ERROR] The Python process ended. All variables are lost; the next call starts a new Python.",
    "[ERROR] The cell ran longer than 120 s and was interrupted. Variables are kept.",
    "[ERROR] Interrupted before it ended.",
)


def _failing(scene: Scene, task: Sum, result: str) -> tuple[Message, ...]:
    rng = scene.rng
    if "Error" in result or rng.random() < 0.5:
        line = result if "Error" in result else rng.choice(FAILURES)
        cell = rng.randint(1, 30)
        shown = traceback(task.code, line, cell)
    else:
        line = shown = rng.choice(NOTICES)
    return (*_call(scene, task), said_python(shown + rng.choice(("", "\n"))), *report_error(scene, line))


def report_error(scene: Scene, line: str) -> tuple[Message, ...]:
    """The messages after an error that cannot be corrected."""
    closing = [answer(f"Python reported an error: {copied(line)}")]
    if scene.effort == "high":
        closing.insert(0, think("Python returned an error instead of a result. I report it as it is."))
    return tuple(closing)
