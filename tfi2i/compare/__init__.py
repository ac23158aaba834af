"""Systems side by side: how big they are, what they cost, and how far they get in the same time."""
