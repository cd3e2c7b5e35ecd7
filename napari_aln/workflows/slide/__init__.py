"""One slide, from its pixels to a model's answer."""
