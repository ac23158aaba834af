"""Ctrl-C stops tests and what they start, also where a shell's & had it ignored."""

import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
