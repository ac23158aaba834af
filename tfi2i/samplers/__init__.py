"""Samplers: systems that no picture goes into."""
