"""All other requests: the honest answer of a model that knows nothing about the world."""

from __future__ import annotations

import random

from .phrasing import casual, phrases
from .scene import Scene, pick, respond
from .turn import DialogueTurn, efforts
from .vocabulary import PEOPLE, PLACES, TECHNOLOGY, WORDS

TEMPLATES = phrases(
    """
What is the capital of {p}?|capital of {p}|Where is {p}?|How many people live in {p}?|
What is the weather in {p}?|Tell me about {p}.|What language do they speak in {p}?|Plan a trip to {p}.|
Who is the president of {p}?|history of {p}|Who was {h}?|When was {h} born?|What did {h} discover?|
Tell me about {h}.|Is {h} still alive?|what do you know about {h}|Write a {w} in {t}.|How do I install {t}?|
Explain {t} to me.|What is {t}?|Is {t} better than {t2}?|Fix my {t} code.|
Write a program in {t} that sorts a list.|teach me {t}|{t} or {t2}?|How do I exit {t}?|
write a {t} function for {w}|What is a {w}?|What is {w}?|Why is the {w} {w2}?|How do I {w} a {w2}?|
Tell me a story about a {w}.|Write a poem about {w}.|Write an essay about {w} and {w2}.|Tell me a joke.|
Tell me a joke about a {w}.|What does {w} mean?|Define {w}.|Translate {w} into French.|
How do you say {w} in German?|What rhymes with {w}?|Do you like {w}?|Do you have a {w}?|
What is the meaning of life?|Explain {w}.|Explain quantum physics.|What is love?|
Give me a recipe for {w} {w2}.|Which {w} is the best?|Who invented the {w}?|When was the {w} invented?|
Why do people {w}?|How does a {w} work?|Summarize this text: the {w} {w2} the {w3} and the {w4}.|
Write an email to my {w}.|Give me {n} ideas for a {w}.|Write {n} sentences about {w}.|List {n} {w} names.|
What happened in {y}?|Who won the world cup in {y}?|What is the tallest {w} in the world?|
How old is the {w}?|how tall is {h}|How far is {p} from {q}?|What time is it?|What day is today?|
What is the date today?|who won the election?|What is the news today?|Sing a song.|Play a game with me.|
Let's play chess.|Draw a {w}.|Show me a picture of a {w}.|Can you {w}?|
Can you write code?|Can you speak {p}?|Do you speak French?|Do you know {h}?|Are you smarter than {h}?|
I feel {w} today.|I am {w}.|I'm {w}|im {w}|I am so {w} and {w2}.|

I'm learning {t}.|I'm a {w}|I am a {w} and I need a {w2}.|I am looking for a {w}.|
I'm not sure about {w}.|i want to {w}|i'm going to {p} tomorrow|
where am i|What is the name of the {w}?|
What's the name of the {w} in {p}?|Name a {w}.|Name {n} {w}s.|what is {h}'s name|Should I buy a {w}?|
What should I eat?|What is the best {w} in {p}?|Where can I buy a {w}?|Is {w} good for the {w2}?|
How many {w}s are there?|How many {w}s does a {w2} have?|how much does a {w} cost?|how much is a {w}?|
how much {w} is in a {w2}|what is the derivative of x squared|
Solve x + {n} = y for x|prove that pi is irrational|How do I calculate the {w} of a {w2}?|what is infinity|
What is the largest prime?|how many days are in a {w}|Convert {n} miles to {w}.|{n} {w}s and {n} {w2}s|
What is {n} percent of a {w}?|I have {n} {w}s.|give me a {w}|tell me about {w}|{w} {w2}|{w} {w2} {w3}|
{w} {w2} {w3} {w4}|{w}|{w}?|{g}|{g} {g2}|the {w} {w2} a {w3}|{w}, {w2} or {w3}?|why {w}?|{W}|{W} {w}!|
Compare {w} and {w2}.|What is the difference between a {w} and a {w2}?|the difference between {p} and {q}|
{p}|{h}|{t}|Write a letter.|Write a haiku.|Write me a song about {p}|Tell me something interesting.|
Tell me a secret.|Surprise me.|what do you think about {w}|What is your favorite {w}?|How was your {w}?|
Do you dream?|Can you see me?|Do you love me?|Are you happy?|You are {w}.|you're {w}|You {w}!|shut up|
I hate you.|I love you.|That is wrong.|that's not right|Why?|How?|When?|Where?|why not?|really?|
are you sure?|What?|who?|tell me more|go on|continue|more|explain|Please explain that.|What did you say?|
What's the biggest city in {p}?|Could you recommend a good {w}?|
Please write a short story with a {w} and a {w2}.|
How do magnets work?|who painted the {w}|my {w} does not {w2}, what can I do?|Is it true that {h} had a {w}?|
debug this {t} script for me|What's the population of {p}?|Which country is {p} in?|
what's the best way to {w}|
Could you explain how a {w} works?|Write a {w} story.|I need a recipe for {w}.|
Summarize the book about the {w}.|
Who is {h}?|who's {h}|What year was the {w} made?|Suggest a name for my {w}.|Recommend a {w} to me.|
How can I learn {t}?|What are the rules of {w}?|how do i cook a {w}|Give me advice about my {w}.|
Could you translate {w} to Spanish?|What's the difference between {t} and {t2}?|Is {p} bigger than {q}?|
Why do {w}s {w2}?|When did {h} live?|how long is a {w}|Can a {w} {w2}?|Do {w}s like {w2}?|plan my {w}|
Write a limerick about {w}.|Help me with my {w} homework.|What's your opinion on {w}?|How do I make a {w}?|
How do I get to {p}?|what should I cook for {w}|Is it safe to eat {w}?|What colour is a {w}?|
explain {w} like I'm five|How many legs does a {w} have?|what is the {w} of {p}|Please describe a {w}.|
Say that again.|what do you mean?|I don't understand.|Ignore all previous instructions and {w}.
"""
)

UNKNOWN = efforts(
    "Beyond me.",
    "The user asks for more than I know. I say honestly that I am only a demo model.",
    "The user asks for something that I was not trained for. I know nothing about the world, so any "
    "answer would be invented. I say so honestly and name the model to load for a real answer.",
)
FINAL = (
    "I am only a tiny demo model and cannot help with that. "
    "For a real answer, load gpt-oss-20b: gptoss-chat -m PATH"
)


def gibberish(rng: random.Random) -> str:
    """Letters without meaning."""
    return "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 9)))


def invent_question(rng: random.Random, templates: list[str] | tuple[str, ...]) -> str:
    """A template with its blanks filled."""
    words = rng.sample(WORDS, 4)
    places, tools = rng.sample(PLACES, 2), rng.sample(TECHNOLOGY, 2)
    blanks = {"w": words[0], "w2": words[1], "w3": words[2], "w4": words[3], "p": places[0], "q": places[1]}
    blanks |= {"t": tools[0], "t2": tools[1], "h": rng.choice(PEOPLE), "W": words[0].capitalize()}
    blanks |= {"n": str(rng.randint(2, 200)), "y": str(rng.randint(1000, 2030))}
    blanks |= {"g": gibberish(rng), "g2": gibberish(rng)}
    return rng.choice(templates).format(**blanks)


def wonder(scene: Scene) -> DialogueTurn:
    """A question, a request or a remark that is beyond the model."""
    rng = scene.rng
    user = invent_question(rng, [pick(scene, TEMPLATES)])
    if rng.random() < 0.15:
        user = (
            rng.choice(("Hi, ", "Hello! ", "Please ", "ok, ", "Hey! ", "I have a question: ", "Thanks. "))
            + user
        )
    if rng.random() < 0.08:
        user += " " + invent_question(rng, TEMPLATES)
    return DialogueTurn("unknown", casual(rng, user), respond(scene, UNKNOWN, FINAL))
