"""The verbs of the command line, one file each: `add` its options, and `run` what was typed.

`add` is called for every verb before anything is parsed, so a file imports what is heavy inside
functions. Verbs take paths and formats; the numbers of training stand in a configuration, so the
options do not grow with the systems.
"""
