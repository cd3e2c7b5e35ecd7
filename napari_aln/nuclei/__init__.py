"""Nuclei: where they are, what they look like in micrometres, and how a slide's nuclei are distributed."""
