"""What a result leaves on disk: its folder, pictures and report."""
