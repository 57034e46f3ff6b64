"""A name told and remembered: names are mostly invented, so that only copying can succeed."""

from __future__ import annotations

from .phrasing import Grid, casual, column, copied, phrases
from .scene import Scene, phrase, pick, respond
from .syllables import invent_name
from .turn import DialogueTurn, efforts

TELLINGS = phrases(
    """
My name is {name}.|I am {name}.|I'm {name}.|Call me {name}.|Hi, I'm {name}.|Hello, my name is {name}.|
Hello! I am {name}.|You can call me {name}.|It's {name}.|My name's {name}.|The name is {name}.|
{name} is my name.|Please call me {name}.|Hey, {name} here.|This is {name}.|I am called {name}.|
Hi there! My name is {name}|People call me {name}.|Remember my name: {name}.|
Hi, my name is {name}. Please remember it.|name: {name}|Hi I'm {name}, nice to meet you!|Hey! I'm {name}|
By the way, my name is {name}.|I go by {name}.|im {name}|hello i am {name}|Good morning, I'm {name}.|
Everyone calls me {name}.|my name is {name}, who are you?|my name is {name}. what can you do?|
ok, I'm {name}.|Hi! {name} here.|My name is {name}, remember that.|Let me introduce myself: I am {name}.|
Just call me {name}.|you may call me {name}|they call me {name}|Hello, {name} here.|{name} here!|
hello from {name}|Hi bot, I'm {name}.|I'd like to be called {name}.|The name's {name}, hello!|
{name}, that's me.|I am {name}, and you?|you are talking to {name}
"""
)

QUESTIONS = phrases(
    """
What is my name?|What's my name?|Who am I?|Do you remember my name?|Do you know my name?|Tell me my name.|
What was my name?|What did I say my name was?|Say my name.|Can you remember my name?|whats my name|my name?|
Do you still know my name?|And what is my name?|What is my name again?|so what's my name?|
do you know who i am?|Please tell me my name.|Can you tell me what my name is?|What am I called?|
How am I called?|Who am I again?|remember me? what is my name?|can you recall my name?|
do you remember who I am?|What is my name, please?|okay, what's my name then?|tell me what my name is|
Do you remember what my name is?|what name did I give you?
"""
)

TELLING_GRIDS: tuple[Grid, ...] = (
    (
        column(
            "Hi, |Hello, |Hello! |Hey, |Good morning, |By the way, |ok, |Hi there! |Well, |Greetings, |"
            "Hey! |yo, |"
            "Good evening! |so |Nice to meet you, |Remember: |Let me introduce myself: |oh, "
        ),
        phrases(
            "my name is {name}|I am {name}|I'm {name}|call me {name}|you can call me {name}|it's {name}|"
            "my name's {name}|the name is {name}|{name} is my name|{name} here|this is {name}|"
            "I am called {name}|"
            "people call me {name}|I go by {name}|my friends call me {name}|you may call me {name}|"
            "everybody calls me {name}|they call me {name}|name is {name}|please call me {name}|"
            "just call me {name}|"
            "my first name is {name}|{name} is what they call me|im {name}|i am named {name}"
        ),
        column(
            ".|.|!|, nice to meet you|. Please remember it.|, remember that|, and you?|. How are you?|"
            ", by the way"
        ),
    ),
)
QUESTION_GRIDS: tuple[Grid, ...] = (
    (
        column("so |and |hey, |please: |ok, |now, |hello, |well, |I forgot: |sorry, "),
        phrases(
            "what is my name|what's my name|do you know my name|do you remember my name|tell me my name|"
            "say my name|"
            "what was my name|can you tell me my name|can you remember my name|do you recall my name|"
            "remind me of my name|could you repeat my name|repeat my name|who am I|what am I called|"
            "how am I called|"
            "do you know who I am|what do people call me|which name do I have|what name did I tell you|"
            "what did I say my name was|do you still remember my name|by what name do you know me|"
            "whats my name"
        ),
        column("?|?|?| again?| please|, please?| now?| then?|, do you know?"),
    ),
)

RENAMINGS = (
    "Actually, call me {name}.",
    "Sorry, my name is {name}.",
    "No, my name is {name}.",
    "Actually my name is {name}.",
    "I changed my mind, call me {name} instead.",
    "From now on I am {name}.",
    "Call me {name} from now on.",
    "Please call me {name} instead.",
    "I want to be called {name} now.",
    "Forget my old name, I am {name} now.",
    "my name is {name} now",
    "Use the name {name} for me instead, please.",
    "I am not called that, my name is {name}.",
    "My new name is {name}.",
    "No, {name} is my name.",
    "I prefer {name} to that.",
    "Better call me {name} again.",
)

TOLD = efforts(
    "New name.",
    "The user tells me a name. I greet the user by it and keep it in mind.",
    "The user tells me a name. I need no tool for this. I greet the user by that name, written exactly "
    "as it was typed, and if I am asked for it later I look it up in the conversation.",
)
ASKED = efforts(
    "Known name.",
    "The user asks for the name. It was told earlier in the conversation, so I repeat it.",
    "The user asks for the name. I need no tool for this. The name was told earlier in the "
    "conversation, so I look it up there and repeat it exactly as it was typed, without inventing "
    "anything.",
)
ASKED_TOO_EARLY = efforts(
    "No name yet.",
    "The user asks for the name, but no name was told in the conversation. I say so.",
    "The user asks for the name. I need no tool for this. I look through the conversation, but no name "
    "was told so far. I must not invent one, so I say that I do not know it yet.",
)


def tell(scene: Scene) -> DialogueTurn:
    """The person tells a name, or another one."""
    rng = scene.rng
    name = invent_name(rng, scene.held_out)
    renamed = scene.name and rng.random() < 0.7
    template = pick(scene, RENAMINGS) if renamed else phrase(scene, TELLINGS, TELLING_GRIDS)
    user = casual(rng, template.replace("{name}", "\0")).replace("\0", name)
    if user.islower() is False and user.replace(name, "").islower() and rng.random() < 0.6:
        user = user.lower()
        name = name.lower()
    scene.name = name
    return DialogueTurn("name", user, respond(scene, TOLD, f"Nice to meet you, {copied(name)}!"))


def ask(scene: Scene) -> DialogueTurn:
    """The person asks for the name."""
    user = casual(scene.rng, phrase(scene, QUESTIONS, QUESTION_GRIDS))
    if scene.name is None:
        return DialogueTurn(
            "no-name", user, respond(scene, ASKED_TOO_EARLY, "You have not told me your name yet.")
        )
    return DialogueTurn("recall", user, respond(scene, ASKED, f"Your name is {copied(scene.name)}."))
