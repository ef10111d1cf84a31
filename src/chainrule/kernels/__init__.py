"""Compiled loops that several ops share, and the functions that return their calls for views."""
