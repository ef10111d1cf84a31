"""Compiled loops that several ops share, named by what they do to memory."""
