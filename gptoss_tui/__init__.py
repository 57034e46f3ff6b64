"""gptoss-chat: talk with gpt-oss on your own machine, in a terminal."""

__version__ = "0.1.0"
