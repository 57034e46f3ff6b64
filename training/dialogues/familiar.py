"""Functions of real programs, and the ways in which people ask for them."""

from __future__ import annotations

from .parameter import Parameter

# Functions of real programs: name, description, parameters, phrasings.
FAMILIAR: tuple[tuple[str, str, tuple[Parameter, ...], str], ...] = (
    (
        "get_weather",
        "Get the weather in a city.",
        (Parameter("city", "label"), Parameter("unit", "choice", False, ("celsius", "fahrenheit"))),
        "What is the weather in {city}?|How is the weather in {city}?|Is it raining in {city}?|"
        "weather in {city}|Will it be sunny in {city}?|What's the weather like in {city}?",
    ),
    (
        "get_time",
        "The current time in a city.",
        (Parameter("city", "label"),),
        "What time is it in {city}?|time in {city}|Tell me the time in {city}.|How late is it in {city}?|"
        "what's the time in {city}",
    ),
    (
        "set_timer",
        "Set a timer.",
        (Parameter("minutes", "integer"),),
        "Set a timer for {minutes} minutes.|timer {minutes} minutes|Wake me in {minutes} minutes.|"
        "Start a timer of {minutes} minutes.|Remind me in {minutes} minutes",
    ),
    (
        "send_message",
        "Send a message to a person.",
        (Parameter("to", "label"), Parameter("text", "label")),
        'Tell {to} "{text}".|Send "{text}" to {to}.|Write {to}: {text}|Message {to}: {text}|'
        'send {to} the message "{text}"',
    ),
    (
        "search_notes",
        "Search the notes of the user.",
        (Parameter("query", "label"),),
        "Search my notes for {query}.|What do my notes say about {query}?|find {query} in my notes|"
        "Look in my notes for {query}|Do I have notes on {query}?",
    ),
    (
        "add_note",
        "Save a note.",
        (Parameter("text", "label"),),
        'Save a note: {text}|Note: {text}|Write down {text}.|Make a note "{text}"|'
        "add a note that says {text}",
    ),
    (
        "roll_dice",
        "Roll dice and return what each shows.",
        (Parameter("count", "integer", False), Parameter("sides", "integer", False)),
        "Roll {count} dice.|roll {count} dice with {sides} sides|Roll a die with {sides} sides.|"
        "Throw {count} dice|Roll {count} dice, please.",
    ),
    (
        "word_count",
        "Counts the words of a text.",
        (Parameter("text", "phrase"),),
        'How many words are in "{text}"?|Count the words of "{text}".|count the words in: {text}|'
        'Word count of "{text}"|How many words has "{text}"?',
    ),
    (
        "days_between",
        "Counts the days from one date to another.",
        (Parameter("start", "date"), Parameter("end", "date")),
        "How many days are there from {start} to {end}?|days between {start} and {end}|"
        "How many days lie between {start} and {end}?|Count the days from {start} to {end}.",
    ),
    (
        "play_song",
        "Play a song.",
        (Parameter("title", "label"),),
        "Play {title}.|play the song {title}|I want to hear {title}.|Put on {title}|Can you play {title}?",
    ),
    (
        "convert_currency",
        "Convert an amount of money.",
        (Parameter("amount", "number"), Parameter("source", "code"), Parameter("target", "code")),
        "Convert {amount} {source} to {target}.|How much is {amount} {source} in {target}?|"
        "{amount} {source} in {target}|change {amount} {source} into {target}",
    ),
    (
        "track_order",
        "Look up where an order is.",
        (Parameter("order_id", "code"),),
        "Where is my order {order_id}?|Track order {order_id}.|status of order {order_id}|"
        "When does my order {order_id} arrive?|Look up order {order_id}",
    ),
    (
        "book_table",
        "Book a table in a restaurant.",
        (Parameter("restaurant", "label"), Parameter("people", "integer"), Parameter("day", "date", False)),
        "Book a table at {restaurant} for {people}.|Reserve a table for {people} at {restaurant}.|"
        "Table for {people} at {restaurant} on {day}, please.|"
        "book {restaurant} for {people} people on {day}",
    ),
    (
        "switch_light",
        "Switch the light of a room on or off.",
        (Parameter("room", "label"), Parameter("state", "choice", True, ("on", "off"))),
        "Turn {state} the light in {room}.|Switch the light in {room} {state}.|light {state} in {room}|"
        "Turn the {room} light {state}",
    ),
    (
        "stock_price",
        "The price of a stock.",
        (Parameter("symbol", "code"),),
        "What is the price of {symbol}?|price of {symbol} stock|How much is a share of {symbol}?|"
        "stock {symbol}?|quote for {symbol}",
    ),
    (
        "delete_file",
        "Delete a file.",
        (Parameter("path", "path"),),
        "Delete {path}.|Remove the file {path}.|please delete {path}|erase the file {path}|"
        "Get rid of the file {path}.",
    ),
    (
        "translate",
        "Translate a text.",
        (Parameter("text", "phrase"), Parameter("language", "label")),
        'Translate "{text}" into {language}.|How do you say "{text}" in {language}?|'
        'translate "{text}" to {language}|What is "{text}" in {language}?',
    ),
)
