"""Sources of pictures, one a file."""
