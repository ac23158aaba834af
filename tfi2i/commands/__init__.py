"""What the verbs of the command line do: parsed arguments in, exit code out."""
