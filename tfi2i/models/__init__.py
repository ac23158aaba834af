"""The systems: one file, one paper."""

from tfi2i.models.nice_gan import NICEGAN

ALL = {"NICEGAN": NICEGAN}
"""Every system by name: the only list of them."""
