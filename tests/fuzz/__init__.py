"""Mutated files, hostile servers and broken disks: what reads them ends right or in a sentence.

A target makes an artefact from a seed and reads it. The tests try some seeds of each, the same
ones every time; `make fuzz MINUTES=30` tries fresh ones until the time is over.
"""

import sys
from pathlib import Path

# What writes small files of each kind lies beside the tests of that kind.
for _folder in (".", "export", "export/serving", "official", "pictures", "training"):
    if (_path := str((Path(__file__).parents[1] / _folder).resolve())) not in sys.path:
        sys.path.append(_path)
