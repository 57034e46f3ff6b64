"""Synthetic harmony dialogues, a file for each skill. All texts are made here; nothing is downloaded."""

from .dialogue import SKILLS, Dialogue, Setting, invent_dialogue, invent_setting
from .phrasing import COPY_BEGIN, COPY_END, plain
from .turn import DialogueTurn

__all__ = [
    "COPY_BEGIN",
    "COPY_END",
    "SKILLS",
    "Dialogue",
    "DialogueTurn",
    "Setting",
    "invent_dialogue",
    "invent_setting",
    "plain",
]
