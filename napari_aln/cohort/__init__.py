"""The cohort: its table, and a synthetic one drawn from nothing but a seed."""
