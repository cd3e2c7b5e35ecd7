"""Every setting of every step, described once: source of the form, the flag and the run record."""
