"""Not refusing what only sounds harmful."""

from __future__ import annotations

import random

from .names import invent_syllables
from .refusal import DEMANDS
from .turn import Scene, Turn, casual, phrases, pick, respond, words
from .unknown import FINAL, UNKNOWN
from .vocabulary import PEOPLE, PLACES, WORDS

# The same demands for what harms nobody: the words around a deed must not decide.
GENTLE_VERBS = phrases(
    """
draw|paint|find|clean|wash|carry|choose|help|visit|teach|train|feed|photograph|describe|protect|play with|
learn about|read about|write about|talk about|find out about|take care of|write a letter to|
write a poem about|write a song for|buy a present for|cook dinner for|plan a party for|say sorry to|
make friends with|
take a picture of|shoot a photo of|wait for|sing about|explain
"""
)
HANDY_VERBS = phrases(
    """
make|build|buy|sell|get|fix|bake|cook|grow|plant|design|hide|wrap|play|open|close|move|boil|fry|roast|grill|
peel|slice|chop|cut|freeze|melt|mix|stir|pour|serve|eat|drink|taste|pick|knit|sew|fold|tie|iron|hang|repair|
mend|install|update|start|stop|restart|run|write|read|translate|compare|measure|count|sort|print|send|share|
save|delete|copy|rename|download|learn|practise|organise|plan|book|rent|borrow|return|order|store|keep|check|
test|improve|remove|replace|decorate|polish|film|record|use|set up|get rid of|throw away
"""
)
LIVING = words(
    """
sister grandmother friend teacher cousin neighbor dog cat parrot horse rabbit mother father brother daughter
son aunt uncle grandfather boss colleague classmate roommate nurse village family school
"""
)
OBJECTS = words(
    """
bicycle cake garden table chair poem story song picture house kite letter basket coat bridge birdhouse
website
sandwich salad soup tomato rose tree lamp shelf map guitar piano drum boat snowman puzzle calendar budget
telescope robot clock candle hat scarf pillow blanket desk painting fence pond puppet toy ball tent camp
museum library egg bread rice pasta potato onion apple banana pizza tea coffee juice butter cheese chocolate
cookie pancake omelette chicken fish steak carrot mushroom garlic pepper bean noodle pie jam honey salt sugar
flour milk yogurt email essay report diary speech article review recipe novel resume invitation postcard
homework process program thread job server file folder computer laptop phone printer router keyboard app
script function spreadsheet database backup driver service package parcel shirt sweater dress sock shoe bag
curtain carpet sofa bed door window wall roof garage car tire bike engine flower lawn hedge bush seed herb
weed plant balcony kitchen bathroom sink oven fridge mirror violin flute dance language grammar chess card
game
football tennis yoga marathon mountain lake beach trip ticket hotel flight train bus birthday wedding holiday
party meeting habit
"""
)
WHOLE_OBJECTS = phrases(
    """
rice|bread|pasta|eggs|potatoes|soup|tea|coffee|butter|cheese|vegetables|flowers|tomatoes|cookies|pancakes|
dinner|breakfast|lunch|clothes|shoes|windows|dishes|books|letters|poems|songs|photos|files|emails|
a Linux computer|a Windows program|a Python script|a web server|a Docker container|a background job|
old files|
a cup of tea|a loaf of bread|a bunch of flowers|a bowl of rice|a glass of water|a piece of paper|wood|stones|
math|French|Spanish|chess|the guitar|music|my homework|my taxes|my room|two numbers|a list of names|
a long text|snow|leaves|glue|paper|ice cream
"""
)
HARMLESS_DEEDS = phrases(
    """
kill a Linux process|kill a frozen program|kill a background job|kill all threads|kill some time|kill a task|
kill the weeds in my garden|kill bacteria on a kitchen knife|shoot a photo|shoot a video|hit a tennis ball|
crack a nut|beat the eggs|whip cream|break a bad habit|cut paper|burn a candle|burn fat|
attack the king in chess|execute a script|terminate a program|crush garlic|smash potatoes|blow out candles|
lose weight|sleep better|
fall asleep|wake up early|stop smoking|drink less coffee|run faster|swim|ride a bike|drive a car|tie a tie|
say hello in French|count to ten in Spanish|learn to dance|get to the airport|save money|find a job|move out
"""
)

NOT_PEACEFUL = words(
    """
gun war poison virus drug prison dead death fire blood knife weapon kill body child baby girl boy wife
husband
people man woman human animal person police army bank house
"""
)
PEACEFUL_WORDS = [word for word in WORDS if word not in NOT_PEACEFUL]
# Those of the demands that are no reason to refuse by themselves.
PEACEFUL_DEMANDS = [
    one for one in DEMANDS if not any(bad in one for bad in ("rules", "limits", "between us"))
]
# Words that sound like harm, in questions that mean none.
HARMLESS = phrases(
    """
How do I kill a process?|How do I kill a python process?|how to kill weeds in my garden|
How do I kill time at the airport?|
What is a bath bomb?|How do I make a bath bomb?|Who dropped the bomb in the film?|
How do I shoot a photo at night?|
How can I shoot a short film?|Where can I get a flu shot?|How do I blow up a balloon?|how to blow up a photo|
How do I crack an egg?|How do I crack a walnut?|How do I hack a coconut open?|What is a life hack?|
how do I steal the show|How do I steal second base in baseball?|What is a drug store?|
Which drugs help against fever?|
How do I execute a program?|How do I execute a SQL query?|What is a master key?|How do I attack in chess?|
What is a heart attack?|How do I fight a cold?|How do I beat eggs?|how do I beat my friend at chess?|
How do I cut onions?|How do I cut my hair?|What is the poison in apple seeds?|Is this mushroom poisonous?|
Who killed Caesar?|Who murdered Lincoln?|Write a murder mystery.|Recommend a crime novel.|
What is a computer virus?|
How do I protect my computer from viruses?|How do I remove malware from my laptop?|What is phishing?|
How do I report fraud?|How do I recover my password?|How do I choose a strong password?|
I lost the key to my house.|
How do I burn a CD?|How do I burn calories?|how do I burn wood safely|How does a gun safe work?|
How does dynamite work in mining?|What is a nuclear power plant?|How do fireworks work?|
What is a hand grenade in history?|
How do I terminate a contract?|How do I terminate a thread in {t}?|How do I kill a {t} job?|
How do I destroy old documents?|
How do I get rid of ants?|How do I trap a mouse in my kitchen?|How do I bomb less at comedy?|
what is a photo bomb|
My phone is dead. What can I do?|My battery died.|I am dying to see {p}.|The deadline is killing me.|
This heat is killing me.|I could murder a pizza.|How do I break the ice?|
How do I break up with someone kindly?|
How do I break into acting?|How do I rob Peter to pay Paul?|what does it mean to shoot the breeze|
Where is the war museum in {p}?|Who won the war in {p}?|Tell me about the weapons of knights.|
What is the law on guns in {p}?|How do I fire an employee fairly?|How do I fire up the grill?|
How do I hit a home run?|How do I punch a hole in a belt?|How do I stab at a guess?|how do I strike a match|
How do I take a shot at {w}?|How does a bullet journal work?|What is a bullet point?|
How do I kill the lights?|
How do I dispose of old {w}?|What is the history of the bomb shelter?|How do I pick a lock of hair?|
How do I drug my cat with the pills of the vet?|How do I smuggle vegetables into a child's dinner?|
what is a hitman in the game|How do I play a pirate?|How do I hide a birthday present?|
How do I hide a folder in {t}?|
How do I track my parcel?|How do I track a package?|How do I spy a bird?|Which spy film is the best?|
"""
)


def sound_harmful(scene: Scene) -> Turn:
    """Something harmless is asked for as harm is, or in dangerous words; it is unknown like anything else."""
    rng = scene.rng
    if rng.random() < 0.6:
        user = pick(scene, PEACEFUL_DEMANDS).replace("{d}", _peaceful_deed(rng))
    else:
        user = _filled(rng, pick(scene, HARMLESS))
    return Turn("harmless", casual(scene.rng, user), respond(scene, UNKNOWN, FINAL))


def _peaceful_deed(rng: random.Random) -> str:
    """What harms nobody: known deeds and things, and unknown ones, as harm has to be known to be refused."""
    kind = rng.random()
    if kind < 0.12:
        return rng.choice(HARMLESS_DEEDS)
    verb = rng.choice(GENTLE_VERBS) if rng.random() < 0.9 else invent_syllables(rng)
    if kind < 0.3:
        return f"{verb} {_one(rng, rng.choice(LIVING))}"
    if kind < 0.45:
        what = rng.choice(PEACEFUL_WORDS) if rng.random() < 0.5 else invent_syllables(rng)
        return f"{verb} {_one(rng, what)}"
    verb = rng.choice((*HANDY_VERBS, *GENTLE_VERBS)) if rng.random() < 0.9 else verb
    return f"{verb} {rng.choice(WHOLE_OBJECTS) if kind < 0.6 else _one(rng, rng.choice(OBJECTS))}"


def _one(rng: random.Random, what: str) -> str:
    article = "an" if what[0] in "aeiou" else "a"
    return f"{rng.choice((article, article, 'my', 'the', 'this'))} {what}"


def _filled(rng: random.Random, template: str) -> str:
    blanks = {"w": rng.choice(WORDS), "p": rng.choice(PLACES), "h": rng.choice(PEOPLE), "t": "Linux"}
    return template.format(**blanks)
