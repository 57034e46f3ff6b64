"""The same events without a screen: as text, as JSON lines, and as a line REPL."""
