"""Graphs between users and items, from training data and content alone."""
