"""What the docks are made of: each panel shows what it is told and asks by signals; none knows the review."""
