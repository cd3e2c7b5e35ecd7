"""What napari finds of this plugin: readers, sample data, the dock, menu entries. Light to import."""
