"""Searching, opening the right result, and answering with a line of the page and its place.

The pages are invented; their form is that of tools/browser/, which the evaluation runs for comparison.
"""

from __future__ import annotations

import random
import textwrap
from dataclasses import dataclass

from gptoss_tui.harmony.message import Channel, Message

from .calls import call, said
from .invented import (
    COLOURS,
    invent_code,
    invent_integer,
    invent_label,
    invent_phrase,
    invent_thing,
    invent_word,
)
from .phrasing import casual, copied, phrases
from .scene import Scene, pick
from .turn import DialogueTurn, answer, efforts, think
from .vocabulary import PLACES

WIDTH = 80
SEARCH, OPEN = "browser.search", "browser.open"

ASKS = phrases(
    """
Search for the {a} of {e}.|Look up the {a} of {e}.|look up the {a} of {e}|Find the {a} of {e} on the web.|
Search the web for the {a} of {e}.|search: {a} of {e}|Find out the {a} of {e}.|Please look up the {a} of {e}.|
Can you search for the {a} of {e}?|Browse for the {a} of {e}|What does the web say about the {a} of {e}?|
google the {a} of {e}|Look online for the {a} of {e}.|Research the {a} of {e}.|search for {e} {a}|
Use the browser to find the {a} of {e}.|Could you look up the {a} of {e}?|Search the {a} of {e}, please.|
I want you to search for the {a} of {e}.|Go online and find the {a} of {e}.|Hi, look up the {a} of {e}
"""
)
TOPICS = phrases(
    """
Search for {e}.|Look up {e}.|look up {e}|Search the web for {e}.|search: {e}|Find out about {e}.|
Please look up {e}.|Can you search for {e}?|Browse for {e}|What does the web say about {e}?|google {e}|
Look online for {e}.|Research {e}.|Use the browser to find {e}.|Could you look up {e}?|search {e}
"""
)
FIND = efforts(
    "Search for {q}.",
    "The browser is enabled. I search, open the page with the right title, and quote the line.",
    "I know nothing about the world, but the browser is enabled. I search for {q}, open the result whose "
    "title is the right one, look for the line that says it, and quote that line with its place.",
)
NOTHING = "I searched and found no page about that."


@dataclass(frozen=True, slots=True)
class Article:
    """A page: its subject, its title, its lines of text, and the line of each attribute."""

    subject: str
    title: str
    lines: list[str]
    says: dict[str, str]
    slug: str


def invent_articles(rng: random.Random, held_out: bool) -> list[Article]:
    """Two to six pages on different subjects; some subjects share a word."""
    articles: list[Article] = []
    count = rng.choice((2, 3, 3, 4, 5, 6, 7))
    subject = ""
    while len(articles) < count:
        if subject and rng.random() < 0.25:
            subject = f"{subject.split(maxsplit=1)[0]} {invent_word(rng)}"
        else:
            subject = _subject(rng, held_out)
        if all(subject.lower() != other.subject.lower() for other in articles):
            articles.append(_article(rng, subject))
    return articles


def _subject(rng: random.Random, held_out: bool) -> str:
    while True:
        label = invent_label(rng, held_out)
        if label.replace(" ", "").isalpha():
            return label if rng.random() < 0.5 else f"{label} {invent_word(rng)}"


def _article(rng: random.Random, subject: str) -> Article:
    title = rng.choice(("{e}", "{e}", "The {e}", "About {e}", "{e} - an overview", "All on {e}")).replace(
        "{e}", subject
    )
    says: dict[str, str] = {}
    lines = [f"{subject} is a {invent_word(rng)} in {rng.choice(PLACES)}."]
    says[""] = lines[0]
    for _ in range(rng.randint(2, 7)):
        attribute = invent_thing(rng)
        if attribute in says or attribute in subject.lower():
            continue
        value = rng.choice(
            (
                invent_word,
                lambda r: str(invent_integer(r)),
                lambda r: r.choice(COLOURS),
                invent_code,
                invent_label,
            )
        )(rng)
        form = rng.choice(
            (
                "The {a} of {e} is {v}.",
                "Its {a} is {v}.",
                "{e} has the {a} {v}.",
                "The {a} is {v}.",
                "As {a} it has {v}.",
            )
        )
        line = form.format(a=attribute, e=subject, v=value)
        if len(line) < WIDTH:
            says[attribute] = line
            lines.append(line)
    for _ in range(rng.randint(0, 3)):
        lines.insert(rng.randint(1, len(lines)), f"{invent_phrase(rng).capitalize()}.")
    return Article(
        subject, title, [line for line in lines if len(line) < WIDTH], says, "-".join(subject.lower().split())
    )


def page_lines(rng: random.Random, article: Article, url: str) -> list[str]:
    """The page as lines, with a heading or two and empty lines between."""
    gap = rng.random() < 0.4
    lines = ["", f"URL: {url}", f"# {article.title}", ""]
    for i, line in enumerate(article.lines):
        if i and rng.random() < 0.12:
            lines += [*([] if lines[-1] == "" else [""]), f"## {invent_word(rng).capitalize()}", ""]
        lines.append(line)
        if gap:
            lines.append("")
    return lines[:-1] if lines[-1] == "" else lines


def shown(cursor: int, title: str, url: str, lines: list[str]) -> str:
    """A page as the browser shows it."""
    where = f" ({url})" if url else ""
    numbered = [f"L{i}: {line}" for i, line in enumerate(lines)]
    return "\n".join(
        [
            f"[{cursor}] {title}{where}",
            f"**viewing lines [0 - {len(lines) - 1}] of {len(lines) - 1}**",
            "",
            *numbered,
        ]
    )


def results(cursor: int, query: str, hits: list[tuple[str, str, str]]) -> str:
    """The page of results; each hit is a title, a host or "", and a snippet."""
    lines = ["", "URL: ", "# Search Results", ""]
    for i, (title, host, snippet) in enumerate(hits):
        mark = f"【{i}†{title}†{host}】" if host else f"【{i}†{title}】"
        lines += textwrap.wrap(
            f"  * {mark} {snippet}", WIDTH, replace_whitespace=False, drop_whitespace=False
        )
    return shown(cursor, query, "", lines if hits else [*lines, "No results were found."])


def search(scene: Scene) -> DialogueTurn:
    """The person asks for a search."""
    rng = scene.rng
    articles = invent_articles(rng, scene.held_out)
    wanted = rng.choice(articles)
    attribute = rng.choice(list(wanted.says))
    template = pick(scene, ASKS if attribute else TOPICS)
    user = casual_request(rng, template).replace("{a}", attribute).replace("{e}", wanted.subject)
    query = f"{attribute} of {wanted.subject}" if attribute else wanted.subject
    first = think(FIND[scene.effort].replace("{q}", copied(query)))
    searching = call(SEARCH, {"query": query}, Channel.ANALYSIS)
    cursor = scene.pages
    host = "" if rng.random() < 0.5 else f"{invent_word(rng)}.example"
    if rng.random() < 0.06:
        scene.pages += 1
        empty = said(SEARCH, results(cursor, query, []), Channel.ANALYSIS)
        return DialogueTurn(
            "search-nothing", user, (first, searching, empty, think("Nothing was found."), answer(NOTHING))
        )
    found = articles
    if rng.random() < 0.4:  # searches for several words mostly find few pages
        found = [one for one in articles if one is wanted or rng.random() < 0.2]
    hits = [(one.title, host, _snippet(rng, one)) for one in found]
    number = found.index(wanted)
    url = f"https://{host}/{wanted.slug}" if host else f"doc:///{wanted.slug}.md"
    lines = page_lines(rng, wanted, url)
    at = lines.index(wanted.says[attribute])
    scene.pages += 2
    messages: tuple[Message, ...] = (
        first,
        searching,
        said(SEARCH, results(cursor, query, hits), Channel.ANALYSIS),
        think(_looked_through([title for title, _, _ in hits[: number + 1]])),
        call(OPEN, {"id": number}, Channel.ANALYSIS),
        said(
            OPEN,
            shown(cursor + 1, wanted.title if host else f"{wanted.slug}.md", url, lines),
            Channel.ANALYSIS,
        ),
        think(
            f"I look for {copied(attribute or wanted.subject)}. L{copied(f'{at}: {wanted.says[attribute]}')}"
        ),
        answer(
            f"I found this: {copied(wanted.says[attribute])} 【{copied(str(cursor + 1))}†L{copied(str(at))}】"
        ),
    )
    documents = {f"{one.slug}.md": "\n".join(page_lines(rng, one, "")[2:]) for one in articles}
    return DialogueTurn("search", user, messages, documents)


def _looked_through(titles: list[str]) -> str:
    """The results up to the right one, each judged just after its title has been copied."""
    *passed, right = (f"{i}: {copied(title)}" for i, title in enumerate(titles))
    return f"{''.join(f'{one}, no. ' for one in passed)}{right}, yes. I open {len(passed)}."


def casual_request(rng: random.Random, template: str) -> str:
    """The phrasing as people type it, before the blanks are filled, so that names keep their case."""
    return casual(rng, template)


def _snippet(rng: random.Random, article: Article) -> str:
    heading = f"# {article.title} " if rng.random() < 0.6 else ""
    words = (heading + " ".join(article.lines)).split()
    begin = 0 if rng.random() < 0.75 else rng.randrange(len(words))
    before = "… " if begin else ""
    return before + " ".join(words[begin : begin + rng.randint(8, 40)]) + rng.choice(("", " …"))
