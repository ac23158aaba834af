"""Figures of how good a translation is, their report, and a study that asks people."""
