"""Errors of the runtime with a message for a person: the failure, its place, and the remedy."""


class CheckpointError(Exception):
    """A checkpoint cannot be used. The message names the file and says what to do, in at most three lines."""


class EngineError(Exception):
    """The engine refused or failed; the message is for a person. The engine is still usable."""
