"""Calls of the developer's functions: one, several, and errors that are corrected once or reported."""

from __future__ import annotations

import random
from dataclasses import dataclass

from gptoss_tui.harmony.message import Message

from . import arithmetic
from .calls import Value, call, call_python, preamble, said, said_python
from .declared import EXPLICIT, EXPLICIT_BARE, EXTRA_JOINS, DeclaredFunction, invent_result
from .invented import invent_label
from .parameter import Parameter, invent_value, typed
from .phrasing import copied, is_unseen, phrases
from .scene import Scene, pick, respond
from .turn import DialogueTurn, answer, efforts, think

CALL = efforts(
    "Call {f}.",
    "The developer declared a function for this. I take its arguments from the message of the user.",
    "The developer declared a function for this, so I do not answer out of my head. I take each argument "
    "from "
    "the message of the user exactly as it was typed, leave out what was not said, and report the result.",
)
MISSING = efforts(
    "Argument missing.",
    "The function needs {p}, which the user has not said. I ask for it.",
    "The function {f} needs {p}, which the user has not said. I must not invent a value, so I do not call it "
    "yet and ask the user for it.",
)
NO_FUNCTION = efforts(
    "No such function.",
    "The user wants a function that the developer did not declare. I say so.",
    "The user wants a function to be called. I look through the developer message, but it is not declared "
    "there. A call would fail, so I say that it does not exist.",
)
SEVERAL = efforts(
    "{n} calls: {f}.",
    "I announce them, make one call after the other, and then report every result.",
    "I tell the user what I am going to do, make one call after the other in the order of the message, copy "
    "each argument exactly, and report every result on a line of its own.",
)
MEND = "The error says what to change. I try once more."
AGAIN = "The error may be gone now. I try once more."
REPORT = "The call failed. I report the error as it is."


@dataclass(frozen=True, slots=True)
class Task:
    """One request of the person's, and the call for it; `function` is None where Python does it."""

    text: str
    function: DeclaredFunction | None
    arguments: dict[str, Value]
    code: str = ""

    @property
    def name(self) -> str:
        """The name of the task in thoughts and answers."""
        return self.function.name if self.function else "python"

    def call(self) -> Message:
        """The call, with marks."""
        if self.function is None:
            return call_python(copied(self.code))
        return call(self.function.recipient, self.arguments)

    def output(self, text: str) -> Message:
        """The output of the call."""
        return said_python(text) if self.function is None else said(self.function.recipient, text)


def invent_task(scene: Scene, declared: DeclaredFunction) -> Task:
    """A request for one call, with a value for every required parameter and for some optional ones."""
    rng = scene.rng
    explicit = not declared.asks or rng.random() < 0.2
    template = (
        pick(scene, EXPLICIT if declared.parameters else EXPLICIT_BARE) if explicit else _ask(scene, declared)
    )
    blanks = {one.name: f"{{{one.name}}}" in template for one in declared.parameters}
    told = [one for one in declared.parameters if blanks[one.name] or one.required or rng.random() < 0.35]
    values = {one.name: invent_value(rng, one, scene.held_out) for one in told}
    shown = {name: typed(rng, value) for name, value in values.items()}
    extras = [one for one in told if not blanks[one.name]]
    if explicit:
        template = template.replace("{f}", declared.name)
        template = template.replace("{p}", _pairs(rng, told, shown)) if told else declared.name
        if not told and declared.parameters:
            template = f"Call {declared.name}."
    else:
        mark = template[-1] if template[-1] in ".?" else ""
        template = template.removesuffix(mark)
        for name, typed_value in shown.items():
            template = template.replace(f"{{{name}}}", typed_value)
        for extra in extras:
            join = rng.choice(EXTRA_JOINS).replace("{k}", _spoken(rng, extra.name))
            template += join.replace("{v}", shown[extra.name])
        template += mark
    return Task(template, declared, values)


def _ask(scene: Scene, declared: DeclaredFunction) -> str:
    """A phrasing; its place decides whether training sees it, since its nouns do not count."""
    rng = scene.rng
    unseen = rng.random() < scene.unseen
    side = [ask for i, ask in enumerate(declared.asks) if is_unseen(f"{i} of {len(declared.asks)}") is unseen]
    return rng.choice(side or list(declared.asks))


def _spoken(rng: random.Random, name: str) -> str:
    return name.replace("_", " ") if rng.random() < 0.3 else name


def _pairs(rng: random.Random, told: list[Parameter], shown: dict[str, str]) -> str:
    form = rng.choice(("{k}={v}", "{k} {v}", "{k} = {v}", "{k}: {v}", '{k} "{v}"', "{v} as {k}"))
    if any(one.kind == "list" for one in told):
        form = "{k}: {v}"
    pairs = [form.replace("{k}", one.name).replace("{v}", shown[one.name]) for one in told]
    if len(pairs) == 1 or rng.random() < 0.5:
        return ", ".join(pairs)
    return f"{', '.join(pairs[:-1])} and {pairs[-1]}"


def call_function(scene: Scene) -> DialogueTurn:
    """The person asks for a declared function's work; its result, or its error, is reported."""
    rng = scene.rng
    declared = rng.choice(scene.functions)
    task = invent_task(scene, declared)
    user = task.text if rng.random() < 0.7 else polite(rng, task.text)
    required = [one for one in declared.parameters if one.required]
    if required and rng.random() < 0.05:
        return _lacking(scene, declared, rng.choice(required))
    named = copied(declared.name)
    if task.arguments:  # they follow the name in the prompt, so they are copied with it
        named += f"({','.join(map(copied, task.arguments))})"
    first = think(CALL[scene.effort].replace("{f}", named))
    if rng.random() < 0.22:
        return DialogueTurn("function-error", user, (first, *_failing(scene, task)))
    result = invent_result(rng)
    closing = _closing(scene, f"{copied(declared.name)} returned: {copied(result)}", "result")
    return DialogueTurn("function", user, (first, task.call(), task.output(result), *closing))


def _closing(scene: Scene, final: str, what: str) -> tuple[Message, ...]:
    if scene.effort == "high":
        return (think(f"The function gave a {what}. I report it as it is."), answer(final))
    return (answer(final),)


def polite(rng: random.Random, text: str) -> str:
    """The request in a polite form."""
    before = rng.choice(
        ("Hi! ", "Hello, ", "ok, ", "Please: ", "Hey, ", "", "", "Now: ", "Next: ", "Thanks. ")
    )
    return before + text + (rng.choice(("", "", " Thanks!", " please")) if text[-1:] not in '".)' else "")


def _lacking(scene: Scene, declared: DeclaredFunction, missing: Parameter) -> DialogueTurn:
    """The person leaves out a required value."""
    user = pick(scene, EXPLICIT_BARE).replace("{f}", declared.name)
    required = [one.name for one in declared.parameters if one.required]
    listed = " and ".join(copied(name) for name in required)
    thought = MISSING[scene.effort].replace("{p}", listed).replace("{f}", copied(declared.name))
    return DialogueTurn(
        "function-missing",
        user,
        (think(thought), answer(f"To call {copied(declared.name)} I need {listed}.")),
    )


def no_such_function(scene: Scene) -> DialogueTurn:
    """The person asks for a function that is not declared."""
    from .declared import invent_functions

    name = invent_functions(scene.rng, 1)[0].name
    while name in {one.name for one in scene.functions}:
        name += "_x"
    user = pick(
        scene,
        (
            "Call {f}.",
            "Run {f}.",
            "Use the function {f}.",
            "Please call {f}.",
            "call {f} with 3",
            "Execute {f}",
        ),
    ).replace("{f}", name)
    return DialogueTurn(
        "no-function", user, respond(scene, NO_FUNCTION, f"There is no function named {copied(name)} here.")
    )


FAILURES = phrases(
    """
ValueError: {x} is not allowed|KeyError: '{x}'|RuntimeError: the service is down|
PermissionError: access denied|
ConnectionError: no route to {x}|ValueError: {x} does not exist|LookupError: no such thing|OSError: disk full|
TypeError: unsupported operand|ValueError: count must be between 1 and 100|
ZeroDivisionError: division by zero|
FileNotFoundError: {x}|Exception: {x}|NotImplementedError|RuntimeError: quota exceeded, try tomorrow
"""
)
TRY_AGAIN = phrases(
    """
TimeoutError: please try again|ConnectionError: connection lost, try again|RuntimeError: busy, try again|
the service is busy, try again|TimeoutError: try again|RuntimeError: temporary failure, try again
"""
)
SUGGESTIONS = phrases(
    """
ValueError: no {x} found; did you mean {y}?|LookupError: unknown {x}. Did you mean {y}?|
ValueError: {x} is unknown; try {y}|
KeyError: '{x}', did you mean {y}?|ValueError: there is no {x}. Did you mean {y}?|
LookupError: {x} not found, but {y} is
"""
)


def _failing(scene: Scene, task: Task) -> tuple[Message, ...]:
    """The call fails; it is corrected once if the error says how, and reported otherwise."""
    rng = scene.rng
    assert task.function is not None
    name = copied(task.function.name)
    labels = [key for key, value in task.arguments.items() if isinstance(value, str)]
    kind = rng.random()
    if kind < 0.4 and labels:
        key = rng.choice(labels)
        better = invent_label(rng, scene.held_out)
        error = pick(scene, SUGGESTIONS).replace("{x}", str(task.arguments[key])).replace("{y}", better)
        mended = call(task.function.recipient, {**task.arguments, key: better})
        thought = think(MEND)
    elif kind < 0.6:
        error, mended, thought = pick(scene, TRY_AGAIN), task.call(), think(AGAIN)
    else:
        error = pick(scene, FAILURES).replace("{x}", invent_label(rng, scene.held_out))
        if rng.random() < 0.2:
            told = (  # by the person, or because there is none
                "The user did not allow this call of {f}.",
                "{f} was not run: it needs approval, and there is no one to ask.",
            )
            error = rng.choice(told).replace("{f}", task.function.recipient) + " Go on without it."
        final = f"{name} reported an error: {copied(error)}"
        return (task.call(), task.output(f"[ERROR] {error}"), think(REPORT), answer(final))
    begun = (task.call(), task.output(f"[ERROR] {error}"), thought, mended)
    if rng.random() < 0.2:
        second = pick(scene, FAILURES).replace("{x}", invent_label(rng, scene.held_out))
        final = f"{name} reported an error: {copied(second)}"
        return (*begun, task.output(f"[ERROR] {second}"), think(REPORT), answer(final))
    result = invent_result(rng)
    return (*begun, task.output(result), *_closing(scene, f"{name} returned: {copied(result)}", "result"))


JOINS = (
    " Then {b}",
    " And {b}",
    " {b}",
    "\n{b}",
    " After that: {b}",
    " Also: {b}",
    "; {b}",
    ", then {b}",
    " and then {b}",
)


def several(scene: Scene) -> DialogueTurn:
    """Two or three calls in one turn, announced by a preamble."""
    rng = scene.rng
    tasks: list[Task] = []
    for _ in range(rng.choice((2, 2, 2, 3))):
        if scene.python and (not scene.functions or rng.random() < 0.35):
            total = arithmetic.invent_sum(rng, scene.held_out)
            if "Error" in arithmetic.evaluate(total.code):
                total = arithmetic.Sum("12 * 3", "12 * 3")
            lead = rng.choice(("Compute {e}.", "What is {e}?", "Calculate {e}.", "compute {e}", "{e}"))
            tasks.append(Task(lead.replace("{e}", total.typed), None, {}, total.code))
        else:
            tasks.append(invent_task(scene, rng.choice(scene.functions)))
    user = rng.choice(("", "", "First: ", "Two things: ", "Please do this. ")) + tasks[0].text
    for task in tasks[1:]:
        user += rng.choice(JOINS).replace("{b}", task.text)
    names = ", then ".join(copied(task.name) for task in tasks)
    thought = SEVERAL[scene.effort].replace("{n}", ("Two", "Three")[len(tasks) - 2]).replace("{f}", names)
    messages = [think(thought), preamble(f"I will call {names}.")]
    lines = []
    for task in tasks:
        result = arithmetic.evaluate(task.code) if task.function is None else invent_result(rng)
        messages += [task.call(), task.output(result)]
        left = copied(task.code) if task.function is None else copied(task.name)
        lines.append(
            f"{left} = {copied(result)}" if task.function is None else f"{left} returned: {copied(result)}"
        )
    if scene.effort == "high":
        messages.append(think("All calls are done. I report their results in order."))
    return DialogueTurn("several", user, (*messages, answer("\n".join(lines))))
