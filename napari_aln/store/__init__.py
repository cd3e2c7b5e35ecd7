"""What is on disk: the feature cache, the result folder, the work list and the session.

Every file is written under a temporary name and moved into place (`atomic`), so that a process killed at any
moment leaves either the old file, the new one or none, never half of one.
"""
