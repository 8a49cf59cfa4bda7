"""One run: what was asked, what was done, what came out."""
