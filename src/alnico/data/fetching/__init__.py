"""Data sets by name: where their files are, how they come here, and what makes them ready for training."""
