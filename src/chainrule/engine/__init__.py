"""Engines: what runs the steps of a training."""
