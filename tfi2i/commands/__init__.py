"""The verbs of the command line, one file each: `add` its options, and `run` what was typed.

`add` is called for every verb before anything is parsed, so heavy imports stand inside functions.
Verbs take paths and formats; the numbers of training stand in a configuration.
"""
