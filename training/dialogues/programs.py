"""Uses of Python besides sums: numbers in lists, letters of words, code that the person typed."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from .arithmetic import number, report_error, traceback
from .calls import call_python, said_python
from .invented import invent_integer, invent_word
from .phrasing import casual, copied, is_held_out, phrases
from .scene import Scene, pick, respond
from .turn import DialogueTurn, answer, efforts, think

PROGRAM = efforts(
    "Run {e}.",
    "Python does that exactly, so I call it.",
    "I am a tiny model, so an answer out of my head would be a guess. The python tool is enabled and "
    "exact. I "
    "send it {e} and copy what it returns.",
)
NO_PYTHON = efforts(
    "Program without python.",
    "The user wants something computed, but the python tool is not enabled. I say so.",
    "An answer out of my head would be a guess. Only python would give an exact result, but the python "
    "tool is "
    "not enabled here. I say so and invent nothing.",
)
MEND = "The name is not defined yet. I import it and try once more."
WITHOUT_PYTHON = (
    "I cannot compute that exactly without the python tool. "
    "Start gptoss-chat with --tools python and ask again."
)


@dataclass(frozen=True, slots=True)
class Program:
    """Code for Python, its output, and the ways to ask for it, with {x} for the contents."""

    code: str
    result: str
    asks: list[str]
    contents: str


def _numbers(rng: random.Random) -> tuple[str, list[int]]:
    values = [number(rng) % 1000 for _ in range(rng.randint(2, 6))]
    shown = ", ".join(map(str, values))
    return (shown if rng.random() < 0.5 else " and ".join(shown.rsplit(", ", 1))), values


AVERAGE = phrases(
    "What is the average of {x}?|average of {x}|mean of {x}|Compute the mean of {x}.|"
    "What's the mean of {x}?|the average of {x} please|Find the average of {x}."
)
SORT = phrases(
    "Sort {x}.|sort these numbers: {x}|Put {x} in order.|Please sort {x}|order {x}|Can you sort {x}?|"
    "Sort the list {x}."
)
LARGEST = phrases(
    "What is the largest of {x}?|Which is the biggest: {x}?|maximum of {x}|the largest number of {x}|"
    "max of {x}|What is the maximum of {x}?"
)
SMALLEST = phrases(
    "What is the smallest of {x}?|Which is the smallest: {x}?|minimum of {x}|the smallest number of {x}|"
    "min of {x}|What is the minimum of {x}?"
)
TOTAL = phrases(
    "What is the sum of {x}?|total of {x}|Add up {x}.|sum up {x}|What is the total of {x}?|"
    "add these: {x}|Sum of {x}?"
)
ROOT = phrases(
    "What is the square root of {x}?|square root of {x}|sqrt of {x}|root of {x}|"
    "Compute the square root of {x}.|Take the square root of {x}.|sqrt({x})"
)
FACTORIAL = phrases(
    "What is the factorial of {x}?|factorial of {x}|{x}!|What is {x} factorial?|"
    "Compute the factorial of {x}.|{x} factorial"
)
RANGE = phrases(
    "What is the sum of the numbers from 1 to {x}?|sum of 1 to {x}|Add all numbers from 1 to {x}.|"
    "Add up 1 to {x}.|the sum of all numbers up to {x}|Sum the first {x} numbers."
)
LENGTH = phrases(
    "How many letters are in {x}?|How many letters has {x}?|How long is the word {x}?|"
    "Count the letters of {x}.|number of letters in {x}|letters in {x}?|"
    'How many characters does "{x}" have?'
)
REVERSE = phrases(
    "Reverse {x}.|Spell {x} backwards.|What is {x} backwards?|reverse the word {x}|Write {x} backwards.|"
    "{x} in reverse|Turn the word {x} around."
)
UPPER = phrases(
    "Write {x} in capitals.|{x} in upper case|Make {x} upper case.|Uppercase {x}.|capital letters: {x}|"
    "Put {x} in capital letters."
)
RUN = phrases(
    "Run {x}|run {x}|Execute {x}|Run this: {x}|run in python: {x}|Run the code {x}|Please run {x}|"
    "What does {x} give?|Execute this code: {x}|eval {x}|python: {x}|What does {x} print?|"
    "Try this in python: {x}|Can you run {x}"
)


def invent_program(rng: random.Random, held_out: bool) -> Program:
    """A program of the wanted side of the split."""
    makers = (_list, _list, _single, _single, _word, _word, _typed, _typed)
    while True:
        program = rng.choice(makers)(rng)
        if is_held_out(program.code) is held_out:
            return program


def _list(rng: random.Random) -> Program:
    shown, values = _numbers(rng)
    listed = ", ".join(map(str, values))
    match rng.randrange(5):
        case 0:
            code, result, asks = (
                f"({' + '.join(map(str, values))}) / {len(values)}",
                repr(sum(values) / len(values)),
                AVERAGE,
            )
        case 1:
            code, result, asks = f"sorted([{listed}])", repr(sorted(values)), SORT
        case 2:
            code, result, asks = f"max({listed})", repr(max(values)), LARGEST
        case 3:
            code, result, asks = f"min({listed})", repr(min(values)), SMALLEST
        case _:
            code, result, asks = f"sum([{listed}])", repr(sum(values)), TOTAL
    return Program(code, result, asks, shown)


def _single(rng: random.Random) -> Program:
    match rng.randrange(3):
        case 0:
            value = invent_integer(rng) ** 2 if rng.random() < 0.5 else number(rng)
            return Program(f"{value} ** 0.5", repr(value**0.5), ROOT, str(value))
        case 1:
            value = rng.randint(2, 25)
            return Program(
                f"import math\nmath.factorial({value})", str(math.factorial(value)), FACTORIAL, str(value)
            )
        case _:
            value = number(rng) % 100_000 + 1
            return Program(f"sum(range(1, {value} + 1))", str(value * (value + 1) // 2), RANGE, str(value))


def _word(rng: random.Random) -> Program:
    word = invent_word(rng)
    if rng.random() < 0.3:
        word = word.capitalize()
    match rng.randrange(3):
        case 0:
            return Program(f"len('{word}')", str(len(word)), LENGTH, word)
        case 1:
            return Program(f"'{word}'[::-1]", repr(word[::-1]), REVERSE, word)
        case _:
            return Program(f"'{word}'.upper()", repr(word.upper()), UPPER, word)


def _typed(rng: random.Random) -> Program:
    word, a, b = invent_word(rng), number(rng) % 1000, rng.randint(2, 9)
    code, result = rng.choice(
        (
            (f"print('{word}')", f"{word}\n"),
            (f'print("{word} {a}")', f"{word} {a}\n"),
            (f"print({a})", f"{a}\n"),
            (f"print({a} + {b})", f"{a + b}\n"),
            (f"len('{word}')", str(len(word))),
            (f"'{word}' * {b}", repr(word * b)),
            (f"[{a}, {b}]", repr([a, b])),
            (f"sorted([{a}, {b}])", repr(sorted([a, b]))),
            (f"max({a}, {b})", str(max(a, b))),
            (f"str({a})", repr(str(a))),
            (f"list(range({b}))", repr(list(range(b)))),
            (f"'{word}'.upper()", repr(word.upper())),
            (f"abs(-{a})", str(a)),
            (f"round({a} / {b}, 2)", repr(round(a / b, 2))),
            (f"x = {a}\nx * {b}", str(a * b)),
        )
    )
    return Program(code, result, RUN, code)


def program(scene: Scene) -> DialogueTurn:
    """The person asks for a run; with the python tool off, an honest refusal."""
    rng = scene.rng
    if rng.random() < 0.45 and scene.python:
        return failing(scene)
    wanted = invent_program(rng, scene.held_out)
    user = casual(rng, pick(scene, wanted.asks).replace("{x}", "\0")).replace("\0", wanted.contents)
    if not scene.python:
        return DialogueTurn("no-python", user, respond(scene, NO_PYTHON, WITHOUT_PYTHON))
    code = copied(wanted.code)
    result = wanted.result.rstrip("\n")
    messages = [
        think(PROGRAM[scene.effort].replace("{e}", code)),
        call_python(code),
        said_python(wanted.result),
    ]
    if scene.effort == "high":
        messages += [think("I run it a second time to check."), call_python(code), said_python(wanted.result)]
        messages.append(think(f"Python returned {copied(result)} again. I report it as it is."))
    return DialogueTurn("program", user, (*messages, answer(f"Python returned: {copied(result)}")))


def failing(scene: Scene) -> DialogueTurn:
    """The person's code raises: a missing import is corrected once, any other error is reported."""
    rng = scene.rng
    word, a = invent_word(rng, scene.held_out), number(rng) % 1000
    if rng.random() < 0.5:
        name = rng.choice(("sqrt", "factorial", "floor", "ceil", "pi", "sin", "cos", "log", "gcd"))
        argument = {
            "factorial": f"({rng.randint(2, 20)})",
            "pi": "",
            "gcd": f"({a + 1}, {rng.randint(2, 99)})",
        }.get(name, f"({a + 1})")
        code = f"{name}{argument}"
        user = pick(scene, RUN).replace("{x}", code)
        result = repr(eval(code, {"__builtins__": {}}, vars(math)))
        error = traceback(code, f"NameError: name '{name}' is not defined", 1)
        messages = (
            think(PROGRAM[scene.effort].replace("{e}", copied(code))),
            call_python(copied(code)),
            said_python(error),
            think(MEND),
            call_python(f"from math import {copied(name)}\n{copied(code)}"),
            said_python(result),
            answer(f"Python returned: {copied(result)}"),
        )
        return DialogueTurn("python-mended", user, messages)
    code, line = rng.choice(
        (
            (f"print({word})", f"NameError: name '{word}' is not defined"),
            (word, f"NameError: name '{word}' is not defined"),
            (f"{word} + {a}", f"NameError: name '{word}' is not defined"),
            (f"int('{word}')", f"ValueError: invalid literal for int() with base 10: '{word}'"),
            (f"float('{word}')", f"ValueError: could not convert string to float: '{word}'"),
            (f"[{a}][3]", "IndexError: list index out of range"),
            (f"{{}}['{word}']", f"KeyError: '{word}'"),
            (f"'{word}' + {a}", 'TypeError: can only concatenate str (not "int") to str'),
            (f"{a} / 0", "ZeroDivisionError: division by zero"),
            (f"{a} % 0", "ZeroDivisionError: integer modulo by zero"),
            (f"import {word}", f"ModuleNotFoundError: No module named '{word}'"),
            (f"len({a})", "TypeError: object of type 'int' has no len()"),
            (f"raise ValueError('{word}')", f"ValueError: {word}"),
            (f"'{word}'.{word}()", f"AttributeError: 'str' object has no attribute '{word}'"),
            (f"assert {a} < 0", "AssertionError"),
        )
    )
    output = traceback(code, line, rng.randint(1, 40))
    if rng.random() < 0.2:  # a syntax error has another form
        code, line = f"{word} {a}", "SyntaxError: invalid syntax"
        caret = " " * (len(word) + 1)
        output = f"  Cell In[{rng.randint(1, 40)}], line 1\n    {code}\n    {caret}^\n{line}\n"
    user = pick(scene, RUN).replace("{x}", code)
    thought = PROGRAM[scene.effort].replace("{e}", copied(code))
    return DialogueTurn(
        "python-error",
        user,
        (think(thought), call_python(copied(code)), said_python(output), *report_error(scene, line)),
    )
