"""The window: state without Qt, jobs, layers, panels, and who tells whom. No science in here."""
