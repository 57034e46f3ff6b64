"""What the terminal sends: bytes into keys, pastes and reports, and each handed on in the order it came."""
