"""A finished model with all that it needs to answer, apart from the data that it learned from."""
