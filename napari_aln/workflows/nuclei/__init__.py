"""The nuclei of a slide: found, measured, shown and set against attention."""
