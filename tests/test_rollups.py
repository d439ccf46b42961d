"""What is computed from the facts."""
