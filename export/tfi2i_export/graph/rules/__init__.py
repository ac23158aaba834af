"""Rules of rewriting: for a layer, what stands for it in an exported graph."""
