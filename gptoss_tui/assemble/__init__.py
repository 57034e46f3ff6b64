"""The composition root: the settings become a conversation, or the reason why not."""
