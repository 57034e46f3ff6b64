"""What may run: the policy, the rules, and what the person answers."""
