"""What trains and evaluates the embedded demo model. Not in the wheel; nothing else imports it.

`dialogues/` invents conversations, `examples.py` makes rows of tokens of them, `network.py` is trained on
these, and `export.py` writes the checkpoint. `evaluate.py` plays held-out dialogues against it.
"""
