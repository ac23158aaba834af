"""Run directories: their specification, what they depend on, and their Keras files."""
