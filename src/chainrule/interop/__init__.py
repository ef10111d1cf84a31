"""Models from and to files that other software reads."""
