"""The systems: one file, one paper."""

from tfi2i.models.bicyclegan import BicycleGAN
from tfi2i.models.cut import CUT, FastCUT
from tfi2i.models.cyclegan import CycleGAN
from tfi2i.models.drit import DRIT
from tfi2i.models.model import ImageTranslator
from tfi2i.models.munit import MUNIT
from tfi2i.models.nice_gan import NICEGAN
from tfi2i.models.pix2pix import Pix2Pix
from tfi2i.models.sincut import SinCUT
from tfi2i.models.stargan import StarGAN
from tfi2i.models.stargan_v2 import StarGANv2
from tfi2i.models.ugatit import UGATIT
from tfi2i.models.unit import UNIT

ALL: dict[str, type[ImageTranslator]] = {
    "NICEGAN": NICEGAN,
    "UGATIT": UGATIT,
    "CycleGAN": CycleGAN,
    "CUT": CUT,
    "FastCUT": FastCUT,
    "SinCUT": SinCUT,
    "Pix2Pix": Pix2Pix,
    "BicycleGAN": BicycleGAN,
    "UNIT": UNIT,
    "MUNIT": MUNIT,
    "DRIT": DRIT,
    "StarGAN": StarGAN,
    "StarGANv2": StarGANv2,
}
"""Every system by name: the only list of them."""
