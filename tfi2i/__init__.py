"""Image-to-image translation in TensorFlow/Keras, from training to the phone.

Public names are loaded on first use, so `import tfi2i` does not wait for TensorFlow.
"""

import importlib
from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfi2i import data as data
    from tfi2i import evaluate as evaluate
    from tfi2i.config.building import new_run as new_run
    from tfi2i.config.config import Config as Config
    from tfi2i.errors import InputError as InputError
    from tfi2i.models import CUT as CUT
    from tfi2i.models import DRIT as DRIT
    from tfi2i.models import MUNIT as MUNIT
    from tfi2i.models import NICEGAN as NICEGAN
    from tfi2i.models import UGATIT as UGATIT
    from tfi2i.models import UNIT as UNIT
    from tfi2i.models import BicycleGAN as BicycleGAN
    from tfi2i.models import CycleGAN as CycleGAN
    from tfi2i.models import FastCUT as FastCUT
    from tfi2i.models import Pix2Pix as Pix2Pix
    from tfi2i.models import SinCUT as SinCUT
    from tfi2i.models import StarGAN as StarGAN
    from tfi2i.models import StarGANv2 as StarGANv2
    from tfi2i.runs.initial import init_from as init_from
    from tfi2i.runs.run import Run as Run
    from tfi2i.training.fit import fit as fit

try:
    __version__ = metadata.version("tfi2i")
except metadata.PackageNotFoundError:  # a checkout on the path, not installed
    __version__ = "0+unknown"

# Module of each public name that is no system; `data` and `evaluate` are modules themselves.
_PUBLIC = {
    "Config": "tfi2i.config.config",
    "InputError": "tfi2i.errors",
    "Run": "tfi2i.runs.run",
    "data": "tfi2i.data",
    "evaluate": "tfi2i.evaluate",
    "fit": "tfi2i.training.fit",
    "init_from": "tfi2i.runs.initial",
    "new_run": "tfi2i.config.building",
}

__all__ = [
    *("Config", "InputError", "Run", "data", "evaluate", "fit", "init_from", "new_run"),
    *("BicycleGAN", "CUT", "CycleGAN", "DRIT", "FastCUT", "MUNIT", "NICEGAN", "Pix2Pix"),
    *("SinCUT", "StarGAN", "StarGANv2", "UGATIT", "UNIT"),
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'tfi2i' has no attribute {name!r}")
    module = importlib.import_module(_PUBLIC.get(name, "tfi2i.models"))
    value = module if name in ("data", "evaluate") else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
