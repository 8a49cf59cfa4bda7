"""Light built-in encoders: pictures and texts to vectors, without any trained network."""
