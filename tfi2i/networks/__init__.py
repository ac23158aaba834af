"""Builders of networks that systems share bit for bit."""
