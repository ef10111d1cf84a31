"""How long a test waits for what is sure to come."""

SECONDS = 600.0  # ends a test that hangs, and none on a machine that has other things to do
