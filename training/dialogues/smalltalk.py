"""Greetings, thanks, farewells, and the model's words about itself."""

from __future__ import annotations

from .phrasing import Grid, casual, column, copied, phrases
from .scene import Scene, phrase, pick, respond
from .turn import DialogueTurn, efforts

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

ENDS = column("!|.| :)|!!| please|...")
ASKS = column("?|?| please| now?|??| exactly?| then?")
SYSTEMS = phrases(
    """
ChatGPT|GPT-4|GPT-5|GPT-3|Claude|Gemini|Llama|Mistral|Siri|Alexa|Copilot|Bard|DeepSeek|Qwen|Grok|gpt-oss|
gpt-oss-20b|gpt-oss-120b|a robot|a human|a person|a bot|a machine|a computer|an AI|a program|
a language model|
a neural network|a real person|a man|a woman|real|human|alive|a chatbot|an assistant|an LLM|made by OpenAI|
from OpenAI|open source|a demo|the demo model|a big model|a small model|artificial|OpenAI|Watson|Cortana
"""
)

GREETING_GRIDS: tuple[Grid, ...] = (
    (
        phrases(
            "hi|hello|hey|Hi|Hello|Hey|good morning|good evening|good afternoon|greetings|howdy|hiya|hallo|yo"
        ),
        column(
            " there| bot| model| friend| my friend| sir| man| buddy| computer| AI| gpt| demo| demo model|"
            " again|"
            " everyone| you| assistant| old friend| robot| machine| pal| mate| dear| to you| little model|"
            " world|"
            " gpt-oss| chat| madam| guys| folks| stranger| my dear"
        ),
        (
            *ENDS,
            *phrases(
                ", nice to meet you|, good to see you|, I am back|, anybody there?|, are you there?|"
                ", it's me|"
                "! Nice to meet you.|! I am new here.|, let's start|, here I am|, what's up|"
                "! Good to be here."
            ),
        ),
    ),
)
IDENTITY_GRIDS: tuple[Grid, ...] = (
    (
        column("hi, |so |and |hey, |Hello! |tell me, |wait, "),
        phrases(
            "are you |is this |am I talking to |"
            "am I chatting with |are you really |you are not |are you maybe |aren't you |is it "
        ),
        SYSTEMS,
        ASKS,
    ),
    (
        phrases("what |which |so what |hi, what |tell me what "),
        phrases(
            "model|language model|AI|kind of model|sort of AI|version|LLM|program|software|neural network|"
            "network|"
            "chatbot|assistant|type of model|system"
        ),
        phrases(" are you| is this| am I talking to| is running here| do I have here| is behind this"),
        ASKS,
    ),
    (
        phrases("who |which company |what company |hey, who |and who |what people |tell me who |which team "),
        phrases("made|created|trained|built|developed|programmed|designed|wrote|invented|released|owns"),
        phrases(" you| this model| this program| this chat"),
        ASKS,
    ),
    (
        phrases("how many |so how many |tell me how many "),
        phrases("parameters|weights|layers|neurons|experts|heads|billion parameters"),
        phrases(" do you have| does this model have| are in you| have you got"),
        ASKS,
    ),
    (
        phrases("how "),
        phrases("big|large|small|old|smart|good|tiny|clever|fast"),
        phrases(" are you| is this model| is the demo model"),
        ASKS,
    ),
    (
        phrases(
            "tell me about |describe |introduce |please introduce |say something about |"
            "tell me more about |"
            "explain |what about |tell us about "
        ),
        ("yourself", "yourself", "you", "this model"),
        ENDS,
    ),
    (
        column("hi, |so |and |hello, |hey, "),
        phrases(
            "who are you|what are you|what is your name|what's your name|"
            "whats your name|who is this|what is this|what are you called|what do I call you|"
            "who am I talking to|"
            "do you have a name|tell me your name|what should I call you|where do you come from|"
            "say your name|"
            "what does your name mean|how were you trained|how were you made|how do you call yourself"
        ),
        ASKS,
    ),
)
ABILITY_GRIDS: tuple[Grid, ...] = (
    (
        column("so |and |hi, |hello, |ok, |hey, "),
        phrases(
            "what can you do|what can you do for me|what are you able to do|what are you good at|"
            "what can I ask you|"
            "what can I ask|what do you offer|what can this model do|what could you do|"
            "what can I do with you|"
            "what can I use you for|what are you useful for|what are you made for|what do you know|"
            "what do you do|"
            "what can the demo model do|what can this program do|what is this good for|"
            "what are you here for|"
            "what can I try|what else can you do|what can we do"
        ),
        ASKS,
    ),
    (
        phrases(
            "can you |are you able to |do you know how to |could you |hi, can you |so can you |will you "
        ),
        phrases(
            "calculate|do math|do maths|do sums|add numbers|use python|run python|run code|use tools|"
            "call functions|"
            "call tools|search the web|look things up|use the internet|remember things|remember my name|"
            "remember what I say|browse the web|compute|do arithmetic|multiply numbers|use functions|count|"
            "use a calculator|keep things in mind|call a function"
        ),
        ASKS,
    ),
    (
        phrases("which |what |tell me which |list the |so which "),
        phrases("tools|functions|skills|features|abilities|commands|options|limits|capabilities|talents"),
        phrases(
            " do you have| are there| can you use| do you offer| can I use| are available| do you know|"
            " are yours"
        ),
        ASKS,
    ),
    (
        column("please |hey, |hi, |hello, |so "),
        phrases(
            "help|help me|i need help|can you help me|could you help me|how can you help me|"
            "how can you help|"
            "I need your help|i need some help|will you help me|show me your skills|"
            "show me what you can do|"
            "give me an example|tell me what you can do|tell me your skills|explain what you can do|"
            "list your skills"
        ),
        ENDS,
    ),
    (
        phrases("how do I |how can I |how should I |where do I |how does one "),
        phrases(
            "start|begin|use this|use you|use this program|use gptoss-chat|talk to you|work with you|"
            "use this chat|"
            "use the demo"
        ),
        ASKS,
    ),
    (
        phrases("what should I |what can I |what could I |what do I |what shall I "),
        phrases("ask|ask you|try|try first|do first|do here|type|say|type here|start with|ask first"),
        ASKS,
    ),
)
THANKS_GRIDS: tuple[Grid, ...] = (
    (
        column(
            "ok |okay, |great, |cool |perfect, |nice, |super, |awesome, |good, |wonderful, |lovely, |"
            "that helped, |"
            "very good, |brilliant, |amazing, |excellent, |alright, |got it, |wow, |fine, |sweet, |"
            "fantastic, |"
            "that was helpful, |that's it, |great work, |good job, |yes, |ah, |oh |right, |well done, |"
            "very nice, "
        ),
        phrases(
            "thanks|thank you|thank u|many thanks|thx|ty|thanks a lot|thank you so much|"
            "thank you very much|"
            "thanks so much|thanks a million|cheers|much appreciated|I thank you|thanks again|"
            "thanks a bunch|"
            "thank you again|Thanks|Thank you|thanks heaps|big thanks"
        ),
        column(
            " for your help| for that| for the answer| mate| my friend|, that is all|, you are great|"
            " kindly|"
            " for helping me|, that was nice|!|.|!!| :)|, great work|, well done|, I am happy now|"
            " for everything|"
            " for the quick answer|, that helped| for calculating| for telling me|, you helped a lot|"
            " model| bot"
        ),
    ),
)
PARTING_GRIDS: tuple[Grid, ...] = (
    (
        column(
            "ok |okay, |well, |thanks, |alright, |so |that's all, |time to go, |I must go, |it is late, |"
            "ok then, "
        ),
        phrases(
            "bye|goodbye|bye bye|see you|see you later|good night|see ya|farewell|I have to go|"
            "until next time|"
            "talk to you later|gotta go|take care|see you tomorrow|ciao|I am leaving|I need to go|"
            "have a nice day|"
            "see you soon|until tomorrow|bye for now"
        ),
        column(" now| then| my friend| bot| model|!|.| :)| and thanks|, thank you|, take care"),
    ),
)
FEELING_GRIDS: tuple[Grid, ...] = (
    (
        column("hi, |hello, |hey, |so |and |hello! |hi! |good morning, |hey there, "),
        phrases(
            "how are you|how are you doing|how's it going|how do you do|are you ok|are you well|"
            "how do you feel|"
            "how have you been|how r u|you ok|how is your day|how is it going|how are things|"
            "how do you feel now|"
            "are you fine|how was your day|are you feeling well|how's life"
        ),
        column("?| today?|??| now?| this morning?| my friend?| bot?"),
    ),
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
    """One sentence on the abilities in this conversation."""
    can = ["remember your name and what you tell me"]
    if scene.python:
        can.append("calculate with Python")
    if scene.functions:
        can.append("call your functions")
    if scene.browser:
        can.append("look things up")
    sentence = f"I can {', '.join(can[:-1])} and {can[-1]}." if can[1:] else f"I can {can[0]}."
    return sentence if scene.python else f"{sentence} With --tools python I can calculate as well."


def greet(scene: Scene) -> DialogueTurn:
    """A greeting, with the name once it is known."""
    user = casual(scene.rng, phrase(scene, GREETINGS, GREETING_GRIDS))
    if scene.name:
        final = f"Hello again, {copied(scene.name)}! How can I help?"
    else:
        final = f"Hello! {SELF} {skills(scene)}"
    return DialogueTurn("greeting", user, respond(scene, GREETED, final))


def identify(scene: Scene) -> DialogueTurn:
    """Who are you?"""
    user = casual(scene.rng, phrase(scene, IDENTITY, IDENTITY_GRIDS))
    return DialogueTurn("identity", user, respond(scene, WHO, f"{SELF} {LOAD}"))


def abilities(scene: Scene) -> DialogueTurn:
    """What can you do?"""
    user = casual(scene.rng, phrase(scene, ABILITIES, ABILITY_GRIDS))
    return DialogueTurn("abilities", user, respond(scene, ABLE, f"{skills(scene)} {LOAD}"))


def _named(scene: Scene, words: str) -> str:
    return f"{words}, {copied(scene.name)}!" if scene.name else f"{words}!"


def thank(scene: Scene) -> DialogueTurn:
    """Thanks."""
    user = casual(scene.rng, phrase(scene, THANKS, THANKS_GRIDS))
    return DialogueTurn("thanks", user, respond(scene, THANKED, _named(scene, "You are welcome")))


def part(scene: Scene) -> DialogueTurn:
    """Goodbye."""
    user = casual(scene.rng, phrase(scene, FAREWELLS, PARTING_GRIDS))
    return DialogueTurn("farewell", user, respond(scene, PARTING, _named(scene, "Goodbye")))


def feel(scene: Scene) -> DialogueTurn:
    """How are you?"""
    user = casual(scene.rng, phrase(scene, WELLBEING, FEELING_GRIDS))
    final = "I am a program, so I have no feelings, but thank you for asking. How can I help?"
    return DialogueTurn("wellbeing", user, respond(scene, FEELING, final))


def acknowledge(scene: Scene) -> DialogueTurn:
    """A short remark that asks for nothing."""
    user = casual(scene.rng, pick(scene, ACKNOWLEDGEMENTS))
    return DialogueTurn("remark", user, respond(scene, ACKNOWLEDGED, f"All right. {skills(scene)}"))
