"""The events of a conversation: one typed stream that every front end reads."""
