"""Export of trained translators to TFLite and SavedModel, with a known loss of quality.

    from tfi2i_export import Choice, export
    export(run, data, Choice("int8"))

Public names are loaded on first use, so an import does not wait for TensorFlow.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfi2i_export.choice import Choice as Choice
    from tfi2i_export.exporting import export as export
    from tfi2i_export.serving.client import ServerTranslator as ServerTranslator
    from tfi2i_export.sidecar import Sidecar as Sidecar
    from tfi2i_export.tflite.interpreter import TFLiteTranslator as TFLiteTranslator

_PUBLIC = {
    "Choice": "choice",
    "ServerTranslator": "serving.client",
    "Sidecar": "sidecar",
    "TFLiteTranslator": "tflite.interpreter",
    "export": "exporting",
}

__all__ = ["Choice", "ServerTranslator", "Sidecar", "TFLiteTranslator", "export"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'tfi2i_export' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"tfi2i_export.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
