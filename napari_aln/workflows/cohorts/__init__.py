"""Many slides: checked, split, and predicted by processes or machines."""
