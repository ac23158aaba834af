"""Where the official codes keep their weights, one module a system."""
