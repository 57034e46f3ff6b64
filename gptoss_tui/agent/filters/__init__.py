"""What may look at the raw reasoning before the person does."""
