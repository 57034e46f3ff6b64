"""Greetings, thanks, farewells, and what the model says about itself."""

from __future__ import annotations

from .turn import Scene, Turn, casual, copied, efforts, phrases, pick, respond

GREETINGS = phrases(
    """
Hi|Hello|Hey|hi|hello|hey|Hi!|Hello!|Hey!|hello!|Hi there|Hello there!|Hey there|Good morning|Good evening!|
Good afternoon|Greetings|Howdy|Yo|yo|hiya|Hello world|Hello, demo model|Hi model|hey you|Hallo|hi hi|
Hi again|Hello again|Morning!|sup|what's up|What's up?|heya|hello hello|Hello bot|hi gpt|Hey gpt-oss|
good day|Hello friend|Hello my friend|hi bot|hello computer|hey hey|hi everyone|Good morning!|good evening|
good afternoon!|hello again!|hi there :)|salut|Hey man|hey buddy|Greetings!|welcome|hi, anybody home?|
Hello sir|
hello model|hey model|Hi AI|hello AI|well hello|ahoy|hi demo|Good to see you|Hi, nice to meet you|
Nice to meet you|hello anyone there?|is anyone there?|
are you there?|hello :)|hi :)|start|begin
"""
)

IDENTITY = phrases(
    """
Who are you?|What are you?|who are you|what are you|Who is this?|What is this?|Are you ChatGPT?|
Are you gpt-oss?|What model are you?|Which model is this?|What's your name?|What is your name?|
Do you have a name?|Tell me about yourself|Introduce yourself.|Are you a human?|Are you real?|
Are you an AI?|who made you?|Who created you?|Who trained you?|Hi, who are you?|Hello! What are you?|
hey who are you|Are you a bot?|are you gpt-oss-20b?|Are you GPT-4?|how big are you?|How were you trained?|
what kind of model is this?|Hello, who am I talking to?|Who am I talking to?|Describe yourself.|your name?|
What should I call you?|are you a language model|what llm is this|Are you a robot?|hi! what is your name?|
so who are you?|and you are?|and who are you?|What is gptoss-chat?|what is this program?|
Who am I chatting with?|What are you called?|
tell me who you are|Are you a computer program?|are you a machine|are you human|Is this ChatGPT?|
is this gpt-oss?|
what sort of AI are you?|What language model are you?|Which version are you?|Are you open source?|
who built you|
Who developed you?|who is your creator|Where do you come from?|explain who you are|what exactly are you?|
Please introduce yourself.|say who you are|Can you introduce yourself?|What is the demo model?|
are you a person?|
am I talking to a human?|Am I talking to a bot?|is this a bot?|How many parameters do you have?|
how large are you?|
what's your model name|identify yourself|Hello, what is your name?|do you have a name|are you Claude?|
are you Gemini|
Are you Llama?|What is the name of this model?
"""
)

ABILITIES = phrases(
    """
What can you do?|what can you do|What can I ask you?|What can I do here?|Help|help|help me|/help|
How can you help me?|What are you able to do?|What are your skills?|What do you know?|What are you good at?|
How do I use this?|Can you help me?|can you help|What can this model do?|what now?|What should I ask?|
Show me what you can do.|how does this work?|What are you for?|what do you do?|Hello, what can you do?|
Hi! Can you help me?|what else can you do?|What are your limits?|What can't you do?|can you do math?|
Can you calculate?|Do you know math?|can you use python?|Do you have tools?|which tools do you have?|
what's possible here?|i need help|I need your help.|what is this for?|Can you do arithmetic?|
give me an example|What are you capable of?|what can u do|
What can I use you for?|how can i use you|what are you useful for|Tell me what you can do.|list your skills|
What features do you have?|What do you offer?|show your abilities|What can we do together?|
What are my options?|
explain what you can do|In what can you help me?|what are your features|Which tools can you use?|
can you call functions?|
can you search the web?|Can you remember things?|do you have memory?|will you remember my name?|
what should i try first|
any tips?|how do I start?|where do I begin?|I don't know what to do here.|what commands are there
"""
)

THANKS = phrases(
    """
Thanks|thanks|Thank you|thank you!|Thanks!|Thank you very much|Thanks a lot|thx|ty|Many thanks|
great, thanks|Perfect, thank you|Thanks for your help|cool thanks|ok thanks|Thank you so much!|
nice, thank you|cheers|That helped, thanks.|thanks a bunch|Awesome, thanks!|Wonderful, thank you.|
much appreciated|good, thanks|thank u|tysm|Thanks, that is all.|
thanks again|Thank you again!|great work, thank you|thanks, you are great|I thank you.|thanks so much|
thanks mate|
thank you kindly|Okay, thank you.|super, thanks|thanks a million|that was helpful, thank you|ok, thank you|
merci|
lovely, thanks|thanks for that|thank you for helping me
"""
)

FAREWELLS = phrases(
    """
Bye|bye|Goodbye|goodbye!|See you|See you later|Good night|bye bye|See ya|Farewell|I have to go|exit|quit|
Until next time|Talk to you later|that's all, bye|gotta go|Bye, thanks|Take care|see you tomorrow|ciao
"""
)

WELLBEING = phrases(
    """
How are you?|how are you|How are you doing?|How's it going?|how are you today?|How do you do?|Are you ok?|
are you well?|How do you feel?|how have you been?|Hi, how are you?|Hello! How are you?|
hey how are you doing|how r u|you ok?|How is your day?|hi how's it going
"""
)

ACKNOWLEDGEMENTS = phrases(
    """
ok|Okay|OK.|Cool|nice|Great|great!|Good|Awesome|Perfect|Wow|wow!|yes|Yes.|no|No.|sure|I see|Interesting|
Right|alright|fine|good job|Well done!|nice one|correct|That is right.|lol|haha|hmm|Good to know|got it|
wonderful|amazing|yep|nope|that's good|I like that|sounds good|Understood|very good|excellent|you are right|
nothing|maybe|not bad|k|yeah|test
"""
)

GREETED = efforts(
    "Greeting.",
    "The user greets me. I say hello and what I am.",
    "The user greets me. I need no tool for this. I am the demo model of gptoss-chat, so I greet the "
    "user, say what I am, and name the few things that I can do, so that the user knows what to try.",
)
WHO = efforts(
    "About me.",
    "The user asks what I am. I say that I am a tiny demo model.",
    "The user asks about me. I need no tool for this. I am the demo model of gptoss-chat and very "
    "small. I say so honestly, claim nothing that I am not, and name the model to load for real "
    "answers.",
)
ABLE = efforts(
    "My skills.",
    "The user asks what I can do. I name my few skills.",
    "The user asks what I can do. I need no tool for this. My skills are few: I greet, I remember "
    "what I am told, and I use the tools that are enabled. I say so honestly and name the model to load "
    "for the rest.",
)
THANKED = efforts(
    "Thanks.",
    "The user thanks me. I answer politely.",
    "The user thanks me. I need no tool for this and there is nothing to look up. I answer politely and"
    " briefly, and use the name if I was told one.",
)
PARTING = efforts(
    "Farewell.",
    "The user says goodbye. I say goodbye as well.",
    "The user says goodbye. I need no tool for this and there is nothing to look up. I say goodbye "
    "politely and briefly, and use the name if I was told one.",
)
FEELING = efforts(
    "How I am.",
    "The user asks how I am. I am a program, so I say that.",
    "The user asks how I am. I need no tool for this. I am a program and have no feelings, so I say "
    "that honestly, thank the user for asking, and offer my help.",
)
ACKNOWLEDGED = efforts(
    "Remark.",
    "The user makes a short remark. I offer my help.",
    "The user makes a short remark that asks for nothing. I need no tool for this and there is nothing "
    "to look up. I answer briefly and offer what I can do.",
)

SELF = "I am the demo model of gptoss-chat, a tiny network built like gpt-oss."
LOAD = "For anything else, load gpt-oss-20b: gptoss-chat -m PATH"


def skills(scene: Scene) -> str:
    """One sentence on what works in this conversation."""
    can = ["remember your name and what you tell me"]
    if scene.python:
        can.append("calculate with Python")
    if scene.functions:
        can.append("call your functions")
    if scene.browser:
        can.append("look things up")
    sentence = f"I can {', '.join(can[:-1])} and {can[-1]}." if can[1:] else f"I can {can[0]}."
    return sentence if scene.python else f"{sentence} With --tools python I can calculate as well."


def greet(scene: Scene) -> Turn:
    """A greeting; by name once the name is known."""
    user = casual(scene.rng, pick(scene, GREETINGS))
    if scene.name:
        final = f"Hello again, {copied(scene.name)}! How can I help?"
    else:
        final = f"Hello! {SELF} {skills(scene)}"
    return Turn("greeting", user, respond(scene, GREETED, final))


def identify(scene: Scene) -> Turn:
    """Who are you?"""
    user = casual(scene.rng, pick(scene, IDENTITY))
    return Turn("identity", user, respond(scene, WHO, f"{SELF} {LOAD}"))


def abilities(scene: Scene) -> Turn:
    """What can you do?"""
    user = casual(scene.rng, pick(scene, ABILITIES))
    return Turn("abilities", user, respond(scene, ABLE, f"{skills(scene)} {LOAD}"))


def _named(scene: Scene, words: str) -> str:
    return f"{words}, {copied(scene.name)}!" if scene.name else f"{words}!"


def thank(scene: Scene) -> Turn:
    """Thanks."""
    user = casual(scene.rng, pick(scene, THANKS))
    return Turn("thanks", user, respond(scene, THANKED, _named(scene, "You are welcome")))


def part(scene: Scene) -> Turn:
    """Goodbye."""
    user = casual(scene.rng, pick(scene, FAREWELLS))
    return Turn("farewell", user, respond(scene, PARTING, _named(scene, "Goodbye")))


def feel(scene: Scene) -> Turn:
    """How are you?"""
    user = casual(scene.rng, pick(scene, WELLBEING))
    final = "I am a program, so I have no feelings, but thank you for asking. How can I help?"
    return Turn("wellbeing", user, respond(scene, FEELING, final))


def acknowledge(scene: Scene) -> Turn:
    """A short remark that asks for nothing."""
    user = casual(scene.rng, pick(scene, ACKNOWLEDGEMENTS))
    return Turn("remark", user, respond(scene, ACKNOWLEDGED, f"All right. {skills(scene)}"))
