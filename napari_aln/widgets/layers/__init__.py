"""The only place that touches the viewer's layers: slide, tissue mask, map, regions; all in micrometres.

Each is imported from its own module: napari's reader needs only where a slide lies, and needs it soon.
"""
