"""One turn of a conversation, as a typed stream of events that every front end reads."""
