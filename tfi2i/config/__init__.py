"""Configurations: arguments of public callables, from YAML, checked against their signatures."""
