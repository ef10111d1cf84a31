"""Speed and memory of chainrule beside its rivals: `python -m benchmarks.compare` runs everything."""
