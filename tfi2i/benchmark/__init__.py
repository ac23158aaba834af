"""Systems side by side: what they cost and what they reach in equal time."""
