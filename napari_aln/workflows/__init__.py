"""One file a verb. Long work is a generator: it yields `Progress`, returns its result; closing it cancels."""
