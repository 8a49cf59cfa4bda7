"""MAGNET: modality-guided mixture of graph experts with entropy-triggered routing."""
