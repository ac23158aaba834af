"""Writes what the test on a phone compares with: golden.py [MODELS [FOLDER]].

picture.png is a drawn scene of the size that the app's first model takes, translation.png what
LiteRT makes of it here, with the first choice for each input besides the picture. MODELS are the
app's by default, FOLDER the assets of its test.
"""

import sys
from pathlib import Path

from tfi2i_export.sidecar import verify
from tfi2i_export.tflite.pictures import TFLitePictureTranslator

from tfi2i.data.sources.scene_drawing import draw
from tfi2i.pictures.channels import in_channels
from tfi2i.pictures.files import write_picture

APP = Path(__file__).resolve().parents[1] / "app" / "src"


def write_golden(models: Path, folder: Path) -> None:
    """Writes both pictures for the model whose sidecar comes first by name, as in the app."""
    sidecars = sorted(models.glob("*.json"))
    if not sidecars:
        sys.exit(f"{models} has no models; run tfi2i export RUN --to {models}.")
    sidecar = verify(sidecars[0])
    side = min(signature.inputs[0].shape[1] for signature in sidecar.signatures)
    picture, _ = draw(0, "test", 0, side if side > 0 else sidecar.image_size)
    folder.mkdir(parents=True, exist_ok=True)
    write_picture(folder / "picture.png", picture)
    beside = sidecar.signatures[0].inputs[1:]
    values = {one.name: one.choices[0].values for one in beside}
    translator = TFLitePictureTranslator(models / sidecar.file, inputs=values)
    taken = in_channels(picture, sidecar.signatures[0].inputs[0].shape[-1])
    write_picture(folder / "translation.png", translator(taken))


if __name__ == "__main__":
    given = [Path(argument) for argument in sys.argv[1:]]
    defaults = [APP / "main" / "assets" / "models", APP / "androidTest" / "assets"]
    write_golden(*given, *defaults[len(given) :])
