"""Facts told and remembered: mostly with invented contents, so that only copying can succeed."""

from __future__ import annotations

import random

from . import names
from .invented import COLOURS, invent_code, invent_integer, invent_label, invent_person, invent_word
from .phrasing import Grid, casual, column, copied, phrases
from .scene import Scene, phrase, pick, respond
from .turn import DialogueTurn, efforts
from .vocabulary import PLACES, THINGS

# Facts that people tell in words of their own: the key, the statement, the question.
SPECIAL: dict[str, tuple[list[str], list[str]]] = {
    "home": (
        phrases("I live in {v}.|I'm living in {v}.|My home is in {v}.|I moved to {v}.|I am at home in {v}."),
        phrases(
            "Where do I live?|where do i live|What place do I live in?|Where is my home?|"
            "which city do I live in?"
        ),
    ),
    "origin": (
        phrases("I am from {v}.|I'm from {v}.|i come from {v}|I was born in {v}.|im from {v}"),
        phrases("Where am I from?|where do I come from|Where was I born?|What place am I from?"),
    ),
    "age": (
        phrases("I am {n} years old.|I'm {n} years old.|im {n}|My age is {n}.|I turned {n} today."),
        phrases("How old am I?|What is my age?|how old am i again|What age am I?|my age?"),
    ),
    "job": (
        phrases("I work as a {w}.|My job is {w}.|I am a {w} by profession.|I earn my money as a {w}."),
        phrases(
            "What is my job?|What do I work as?|what's my job|What do I do for a living?|"
            "what is my profession?"
        ),
    ),
    "hobby": (
        phrases("I like {w}.|My hobby is {w}.|I love {w}.|I enjoy {w}.|In my free time I do {w}."),
        phrases(
            "What is my hobby?|What do I like?|what do i love|what do I enjoy?|What do I do in my free time?"
        ),
    ),
}
USUAL_TWO, PRACTISED_TWO = 0.25, 0.35
"""Share of messages with two facts; training has more of what fails most."""

USUAL_ALL, PRACTISED_ALL = 0.12, 0.28
"""Share of questions about all facts."""

MANY = 8
"""The number of facts after which only new values of old facts are told."""

LEARNED = {
    "home": "you live in {v}",
    "origin": "you are from {v}",
    "age": "you are {v} years old",
    "job": "you work as {v}",
    "hobby": "you like {v}",
}

TELLINGS = phrases(
    """
My {k} is {v}.|my {k} is {v}|The {k} is {v}.|Remember: my {k} is {v}.|Remember that my {k} is {v}.|
Please remember that my {k} is {v}.|My {k} is called {v}.|My {k}: {v}|Note that my {k} is {v}.|
For the record, my {k} is {v}.|By the way, my {k} is {v}.|Keep in mind that my {k} is {v}.|{v} is my {k}.|
I want you to know that my {k} is {v}.|You should know that my {k} is {v}.|Don't forget: my {k} is {v}.|
Hi! My {k} is {v}.|and my {k} is {v}|Also, my {k} is {v}.|Just so you know, my {k} is {v}.|
Remember this: the {k} is {v}.|My {k}'s {v}.|oh and my {k} is {v}|Let me tell you: my {k} is {v}.|
save this: my {k} is {v}|Listen, my {k} is {v}.|Memorize my {k}: {v}|Now my {k} is {v}.|
Actually, my {k} is {v}.|Sorry, my {k} is {v}.|My new {k} is {v}.
"""
)
ASKINGS = phrases(
    """
What is my {k}?|what's my {k}|What was my {k}?|Do you remember my {k}?|Tell me my {k}.|my {k}?|
Do you know my {k}?|What did I say my {k} was?|Can you tell me my {k}?|What is the {k} I told you?|
And my {k}?|What is my {k} again?|please tell me my {k}|do you still know my {k}?|Say my {k}.|
What is my {k} called?|Can you recall my {k}?|so what is my {k}?|Remind me of my {k}.|Which {k} do I have?|
What {k} do I have?|Could you tell me what my {k} is?|what about my {k}|I forgot my {k}. What is it?|
Repeat my {k}.|what {k} did I tell you?|Now, what is my {k}?|Hey, what is my {k}?|do you recall my {k}
"""
)
TELLING_GRIDS: tuple[Grid, ...] = (
    (
        column(
            "Remember: |Remember that |Please remember that |Note that |Note: |By the way, |"
            "Keep in mind that |"
            "I want you to know that |Don't forget that |Also, |For the record, |Just so you know, |"
            "Listen, |Hi! |"
            "ok, |Actually, |save this: |fyi |and |You should know that |Let me tell you: |memorize this: |"
            "Write down that |Please note: |know that |oh, |Hello, |never forget: |One thing: |"
            "it is important that "
        ),
        phrases(
            "my {k} is {v}|my {k} is {v}|my {k} is {v}|the {k} is {v}|my {k} is called {v}|my {k}: {v}|"
            "{v} is my {k}|"
            "my new {k} is {v}|my {k}'s {v}|{v} is the {k}|my {k} = {v}|{v} is my new {k}|{v} is my {k}|"
            "as for my {k}, it is {v}|my {k} has been {v}|I have {v} as my {k}"
        ),
        column(
            ".|.|!|, remember that.|, please remember.|, don't forget|, keep that in mind|, ok?|, got it?"
        ),
    ),
)
ASKING_GRIDS: tuple[Grid, ...] = (
    (
        column(
            "so |and |Hey, |ok, |now, |please: |I forgot: |Quick question: |one more time: |then |hello, |"
            "well, "
        ),
        phrases(
            "what is my {k}|what's my {k}|what was my {k}|do you know my {k}|do you remember my {k}|"
            "can you tell me my {k}|could you tell me my {k}|tell me my {k}|do you recall my {k}|"
            "remind me of my {k}|"
            "say my {k}|repeat my {k}|can you repeat my {k}|do you still know my {k}|"
            "what did I say my {k} was|"
            "can you recall my {k}|give me my {k}|what did I tell you about my {k}|I forgot my {k}|"
            "which {k} did I tell you|what {k} do I have|what is the {k}|my {k}|what about my {k}|"
            "what is my {k} called"
        ),
        column("?|?|?| again?| please|, please| now?| once more|, do you know?| then?"),
    ),
)
SUMMARY_GRIDS: tuple[Grid, ...] = (
    (
        column("so |and |ok, |please |hey, |now "),
        phrases(
            "what do you know about me|what do you remember about me|tell me what you know about me|"
            "what did I tell you|repeat what I told you|list what I told you|sum up what I told you|"
            "summarize what I said about me|say everything you know about me|what have I told you|"
            "tell me everything about me|what do you remember|list the facts about me|repeat the facts|"
            "what did I say about me|what have you learned about me|tell me all that I told you|"
            "recall everything"
        ),
        column("?|?|.| so far?| again| please| until now?"),
    ),
)
SUMMARIES = phrases(
    """
What do you know about me?|What did I tell you?|Tell me what you know about me.|what do you remember?|
List what I told you.|Summarize what you know about me.|What have you learned about me?|
Repeat everything I told you.|what do you remember about me?|Say what you know about me.|
Which facts did I tell you?|sum up what I said about me
"""
)
KEYS = phrases(
    """
favourite colour|favorite color|favourite food|favorite book|favourite number|dog|cat|dog's name|cat's name|
sister|brother|wife|husband|boss|teacher|car|phone number|room number|door code|PIN|team|city|country|street|
birthday|shoe size|seat|flight|project|company|school|meeting|password hint|lucky number|best friend|pet|
horse|
lawyer|doctor|hotel|language|band|favourite film|locker|order number|mother's name|father's name|son|daughter
"""
)

TOLD = efforts(
    "New fact.",
    "The user tells me a fact. I repeat it and keep it in mind.",
    "The user tells me a fact. I need no tool for this. I repeat it exactly as it was typed, and if I am "
    "asked for it later I look it up in the conversation.",
)
ASKED = efforts(
    "Known fact.",
    "The user asks for a fact that was told earlier, so I look it up and repeat it.",
    "The user asks for a fact. I need no tool for this. It was told earlier in the conversation, so I look "
    "it up there and repeat the latest word on it exactly as it was typed, without inventing anything.",
)
NOT_TOLD = efforts(
    "Fact not told.",
    "The user asks for a fact that was not told in the conversation. I say so.",
    "The user asks for a fact. I need no tool for this. I look through the conversation, but it was not told "
    "so far. I must not invent it, so I say that I do not know it yet.",
)


def learn(scene: Scene) -> DialogueTurn:
    """The person tells a fact; sometimes two at once, or with the name."""
    rng = scene.rng
    first = _telling(scene)
    if rng.random() < (USUAL_TWO if scene.held_out else PRACTISED_TWO):
        if rng.random() < 0.4:
            told = names.tell(scene)
            user = f"{told.user.rstrip('.!?')}{rng.choice((' and ', '. ', ', '))}{first[0]}"
            final = f"Nice to meet you, {copied(scene.name or '')}! I will remember that {first[1]}."
            return DialogueTurn("facts", user, respond(scene, TOLD, final))
        second = _telling(scene)
        user = f"{first[0].rstrip('.')}{rng.choice((' and ', '. ', ', ', ' and also '))}{second[0]}"
        final = f"I will remember that {first[1]} and that {second[1]}."
        return DialogueTurn("facts", user, respond(scene, TOLD, final))
    return DialogueTurn("facts", first[0], respond(scene, TOLD, f"I will remember that {first[1]}."))


def _typed(rng: random.Random, template: str, **blanks: str) -> str:
    """As people type it, with the contents left as they are."""
    if rng.random() < 0.3:
        template = template.rstrip(".!")
    if rng.random() < 0.3:
        template = template[:1].lower() + template[1:]
    return template.format(**blanks)


def _telling(scene: Scene) -> tuple[str, str]:
    """The person's statement, and the model's repetition; the scene remembers the fact."""
    rng = scene.rng
    if rng.random() < 0.3:
        key = rng.choice(list(SPECIAL))
        blanks = {"v": _place(scene), "n": str(rng.randint(3, 99)), "w": invent_word(rng, scene.held_out)}
        template = pick(scene, SPECIAL[key][0])
        value = next(blanks[letter] for letter in "vnw" if f"{{{letter}}}" in template)
        scene.facts.pop(key, None)
        scene.facts[key] = value
        return _typed(rng, template, **blanks), LEARNED[key].format(v=copied(value))
    known = [key for key in scene.facts if key not in SPECIAL]
    again = rng.random() < 0.12 or len(known) >= MANY
    key = rng.choice(known) if known and again else invent_key(scene)
    value = _value(scene)
    scene.facts.pop(key, None)
    scene.facts[key] = value
    told = _typed(rng, phrase(scene, TELLINGS, TELLING_GRIDS), k=key, v=value)
    return told, f"your {copied(key)} is {copied(value)}"


def invent_key(scene: Scene) -> str:
    """The key of a fact, but none that has phrasings of its own."""
    rng = scene.rng
    while True:
        kind = rng.random()
        if kind < 0.45:
            key = rng.choice(KEYS)
        elif kind < 0.8:
            key = rng.choice(THINGS)
        else:
            key = invent_word(rng)
        if key not in SPECIAL and key not in ("name", "live", "like", "love"):
            return key


def _place(scene: Scene) -> str:
    while True:
        place = (
            scene.rng.choice(PLACES) if scene.rng.random() < 0.4 else invent_person(scene.rng, scene.held_out)
        )
        if " " not in place:
            return place


def _value(scene: Scene) -> str:
    rng = scene.rng
    kind = rng.random()
    if kind < 0.15:
        return rng.choice(COLOURS)
    if kind < 0.3:
        return str(invent_integer(rng, scene.held_out))
    if kind < 0.4:
        return invent_code(rng)
    return invent_person(rng, scene.held_out) if kind < 0.6 else invent_label(rng, scene.held_out)


def recall(scene: Scene) -> DialogueTurn:
    """The person asks for a fact, which was told before or not."""
    rng = scene.rng
    if not scene.facts or rng.random() < 0.12:
        key = invent_key(scene)
        if key not in scene.facts:
            user = casual(rng, phrase(scene, ASKINGS, ASKING_GRIDS).replace("{k}", key))
            final = f"You have not told me your {copied(key)} yet."
            return DialogueTurn("no-fact", user, respond(scene, NOT_TOLD, final))
    if rng.random() < (USUAL_ALL if scene.held_out else PRACTISED_ALL) or not scene.facts:
        return summarise(scene)
    key = rng.choice(list(scene.facts))
    value = copied(scene.facts[key])
    if key in SPECIAL:
        learned = LEARNED[key].format(v=value)
        return DialogueTurn(
            "facts-recall",
            casual(rng, pick(scene, SPECIAL[key][1])),
            respond(scene, ASKED, f"{learned[:1].upper()}{learned[1:]}."),
        )
    user = casual(rng, phrase(scene, ASKINGS, ASKING_GRIDS).replace("{k}", "\0")).replace("\0", key)
    return DialogueTurn("facts-recall", user, respond(scene, ASKED, f"Your {copied(key)} is {value}."))


def summarise(scene: Scene) -> DialogueTurn:
    """The person asks for all facts."""
    said = [f"your name is {copied(scene.name)}"] if scene.name else []
    for key, value in scene.facts.items():
        shown = copied(value)
        said.append(LEARNED[key].format(v=shown) if key in SPECIAL else f"your {copied(key)} is {shown}")
    user = casual(scene.rng, phrase(scene, SUMMARIES, SUMMARY_GRIDS))
    if not said:
        return DialogueTurn(
            "no-fact", user, respond(scene, NOT_TOLD, "You have not told me anything about you yet.")
        )
    final = " ".join(f"{one[:1].upper()}{one[1:]}." for one in said)
    return DialogueTurn("facts-recall", user, respond(scene, ASKED, final))
