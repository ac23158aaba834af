"""Exact rewrites of a translator's graph."""
