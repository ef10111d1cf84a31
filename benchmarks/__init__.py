"""Speed and memory of chainrule compared with other libraries: `python -m benchmarks.compare` runs everything."""
