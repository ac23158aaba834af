"""Picture files, pixels, tiles, sheets, and the translation of folders."""
