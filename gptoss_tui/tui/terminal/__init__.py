"""The input of the terminal: bytes into keys, pastes and reports, handled in the order in which they came."""
