"""Networks whose features KID and FID compare."""

from tfi2i.evaluate.backbones.backbone import NAMES, PROTOCOLS, Backbone, load

__all__ = ["NAMES", "PROTOCOLS", "Backbone", "load"]
