"""Training and evaluation of the embedded demo model. Not in the wheel; nothing else imports it.

`dialogues/` invents conversations, `examples.py` turns them into rows of tokens, on which `network.py` is
trained, and `export.py` writes the checkpoint. `evaluate.py` plays held-out dialogues against it.
"""
