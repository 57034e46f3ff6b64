"""Names and words invented from syllables."""

from __future__ import annotations

import random

from .phrasing import is_held_out, words

FIRST_NAMES = words(
    """
Ada Adam Ahmed Aiko Alan Albert Alex Alice Alina Amara Amelia Amir Amy Ana Anders Andrea Andrew Angela Anna
Anton Aria Arjun Arthur Ava Ayesha Barbara Beatrice Ben Benjamin Bianca Bjorn Bob Boris Brian Bruno Camila
Carl Carla Carlos Carmen Caroline Catherine Cecilia Charles Charlotte Chen Chloe Chris Clara Claudia Clement
Cora Cyrus Daniel Daria David Deborah Dennis Diana Diego Dmitri Dora Dylan Edgar Edith Edward Elena Eli
Elias Elif Elijah Elise Ella Ellen Emil Emily Emma Eric Erik Esther Ethan Eva Evan Farah Fatima Felix
Fernando Fiona Florian Frances Frank Freya Gabriel George Gita Giulia Grace Greta Gustav Hana Hannah Harry
Hasan Hector Helen Henry Hiro Hugo Ian Ibrahim Ida Igor Ines Ingrid Irene Isaac Isabel Ivan Ivy Jack Jacob
James Jan Jane Jason Javier Jean Jenny Jin Joan Joe Johan John Jonas Jorge Jose Joseph Joy Juan Judith Julia
Julian Jun Kaito Karen Karim Karl Kate Keiko Kenji Kevin Kim Klaus Lara Lars Laura Layla Lea Lee Lena Leo
Leon Li Liam Lily Lin Linda Ling Lisa Louis Lucas Lucia Luis Luna Maja Malik Marco Maria Marie Mario Mark
Marta Martin Mary Mateo Max Maya Mei Mia Michael Miguel Mike Mila Milan Mina Mohamed Mona Nadia Naomi Nathan
Nia Nick Nicolas Nina Noah Noor Nora Olaf Oleg Olga Oliver Olivia Omar Oscar Otto Pablo Patrick Paul Pavel
Pedro Peter Petra Philip Pia Priya Quentin Rachel Raj Ralph Rania Raul Rebecca Ren Rita Robert Robin Rosa
Rose Ruben Ruth Ryan Sakura Salma Sam Samir Samuel Sara Sarah Sato Sean Sergei Simon Sofia Sonia Stefan
Stella Steve Susan Sven Tanya Tara Theo Thomas Tim Tina Tobias Tom Tomas Uma Ursula Vera Victor Viktor
Vincent Wei William Xavier Yara Yasmin Yuki Yusuf Zara Zoe Zofia
"""
)

ONSETS = words("b br c ch d dr f fl g gr h j k kl l m n p pr qu r s sh sk st t th tr v w x y z zh")
VOWELS = words("a e i o u ai ea ee ia ie io oo ou y")
CODAS = ["", "", "", "", "n", "r", "l", "s", "m", "x", "th", "nd", "rt", "ck", "sh", "v", "k", "t", "z"]


def invent_syllables(rng: random.Random) -> str:
    """A lower-case word of one to three syllables."""
    return "".join(
        rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS)
        for _ in range(rng.choice((1, 2, 2, 2, 3, 3)))
    )


def invent_name(rng: random.Random, held_out: bool) -> str:
    """A name of the wanted side of the split: a third are common first names, the rest are syllables."""
    while True:
        name = rng.choice(FIRST_NAMES) if rng.random() < 0.35 else invent_syllables(rng).capitalize()
        if rng.random() < 0.05:
            name += " " + rng.choice(FIRST_NAMES) + rng.choice(("", "son", "ova", "ez", "berg"))
        if is_held_out(name) == held_out:
            return name
