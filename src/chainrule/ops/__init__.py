"""What can be differentiated: one op on one screen. `docs/architecture.md` lists which op is in which file."""
