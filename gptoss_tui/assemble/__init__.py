"""The composition root: it makes a conversation from the settings, or gives the reason why not."""
