"""What a window asks for while slides are reviewed."""
