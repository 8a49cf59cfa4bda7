"""What finished models do and why."""
