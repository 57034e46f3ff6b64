"""What happens in a conversation, as one typed stream that every front end reads."""
