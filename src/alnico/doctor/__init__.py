"""A close look at a catalogue: copies, damage, gaps, contradictions, leaks; findings and a page."""
