"""Losses, propagation and layers that models share."""
