"""The window: state without Qt, jobs, forms, layers, one file a panel. No science in here."""
