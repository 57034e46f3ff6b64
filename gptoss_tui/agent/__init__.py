"""The agent: one turn of a conversation after another, from the person's message to the final answer."""
