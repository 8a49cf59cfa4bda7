"""Figures of a study, from its rows to what is drawn."""
