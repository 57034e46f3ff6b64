"""The screens: the conversation, and those that lie over it."""
