"""What can be differentiated: one file per family, one op on one screen."""
