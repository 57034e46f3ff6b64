"""Errors of the runtime whose text is meant for a person: what failed, where, and the mend."""


class CheckpointError(Exception):
    """A checkpoint cannot be used. The message names the file and says what to do, in at most three lines."""


class EngineError(Exception):
    """The engine refused or failed; the message is for a person. The engine is still usable."""
