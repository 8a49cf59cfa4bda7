"""Everything that is drawn; the only part of the package that knows the drawing library."""
