"""What a call needs before it runs: the rules, how far the call reaches, and the answer of the person."""
