"""Reading and writing models in formats that other software reads."""
