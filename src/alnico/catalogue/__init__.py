"""A small shop whose truth is known: drawn products, written texts, and users whose tastes were chosen."""
