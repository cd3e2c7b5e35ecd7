"""Attention multiple-instance learning: encoders, head, clinical values, bundles, scoring, attribution."""
