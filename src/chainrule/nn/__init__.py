"""Layers, initialisation and losses."""
