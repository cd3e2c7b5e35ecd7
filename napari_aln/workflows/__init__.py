"""One file a verb. Long work is a generator: it yields `Progress`, returns its result; closing it cancels.

Rooms from below: `slide` (pixels to answers), `nuclei`, `results` (what lies on disk); `predict`, here, joins
them. Above it `review` (the window), `cohorts` (many slides), `training`, `evaluation` and `interpretation`.
"""
