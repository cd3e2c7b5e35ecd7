"""Scores and maps over a cohort, and the tables and figures made of them."""
