"""Files of every kind that `tfi2i export` makes, with Python's answers, for the Android demo.

    python tests/export/android_models.py FOLDER

FOLDER gets the files with their sidecars, pictures as raw bytes (1, H, W, 3), answers (1, H, W, C),
and manifest.json, which says what belongs together. The last is written last: where it is, all is.
Some files take a style and a label, or another picture, besides the picture; some take none. Some
take or give grey: their pictures are in colour, to be made grey by whoever runs them.
Two are of a translator that enlarges by nearest pixels.
"""

import dataclasses
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import ai_edge_litert  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray
from tfi2i_export.choice import Choice
from tfi2i_export.exporting import export
from tfi2i_export.graph.fold import fold
from tfi2i_export.sidecar import read
from tfi2i_export.signatures import of_file
from tfi2i_export.tflite.conversion import Io, convert, convolutions
from tfi2i_export.tflite.interpreter import INPUT, OUTPUT, TFLiteTranslator, opened
from tfi2i_export.tflite.quantization import FORMATS, quantize

from tfi2i.config import building
from tfi2i.config import config as configs
from tfi2i.data.dataset import Dataset
from tfi2i.files import to_json, write_text
from tfi2i.models.nice_gan import NICEGAN
from tfi2i.networks.strides import multiple_of
from tfi2i.pictures.channels import in_channels
from tfi2i.pictures.pixels import to_image
from tfi2i.runs.run import Run
from tfi2i.terminal import quiet
from tfi2i.training.fit import fit

STEPS = 24
SIZES = (32, 64)
FREE_SIZE = (48, 80)
GREY = {  # channels that are taken and made, and the side
    "grey2grey-float32": (1, 1, 64),
    "grey2grey-float32-dynamic": (1, 1, None),
    "grey2rgb-int8-uint8": (1, 3, 64),
    "rgb2grey-float32": (3, 1, 64),
}

SMALL = [f"compile.total_steps={STEPS}", f"fit.report_steps={STEPS}", f"fit.sample_steps={STEPS}"]
SMALL += [f"fit.checkpoint_steps={STEPS}", "fit.evaluate_steps=0"]
SMALL += ["fit.tensorboard=false", "fit.show=false"]


def choices() -> list[Choice]:
    """Every format with both types, and both paddings and all kinds of sizes of a few."""
    return [
        *(Choice(format, io=io) for format in FORMATS for io in get_args(Io)),
        *(Choice(format, pad="mirror") for format in ("float16", "int8")),
        *(Choice("int8", io=io, sizes=SIZES) for io in get_args(Io)),
        Choice("float32", dynamic=True),
        Choice("int8", io="uint8", dynamic=True),
    ]


def trained(folder: Path) -> tuple[Run, Dataset, Any]:
    """A run of a few steps, its data and system; the same weights each time."""
    # Sub-pixels and a low rate: where weights move far in four steps, a float32 sum that is rounded
    # otherwise in WebAssembly moves a fifth of a picture's int8 values by a level or two.
    steady = ["model.upsampling=subpixel", "compile.learning_rate=4e-4"]
    steady += ["compile.discriminator_learning_rate=null"]
    config = configs.load("nice_gan/scenes", steady).smoke(SMALL)
    system, data = building.build_system(config), building.build_data(config)
    run = Run.create(folder, config.system, "scenes", config.resolved().as_dict(), {})
    with run.lock(), run.logged():
        fit(system, data, run, config.batches, **config.fit)
    return run, data, system


def answered(
    path: Path,
    picture: NDArray[np.uint8],
    chosen: Mapping[str, int] | None = None,
    second: Mapping[str, NDArray[np.uint8]] | None = None,
) -> list[dict[str, Any]]:
    """Returns what the manifest says of a file, a case a size; writes pictures and answers.

    Args:
        path: The file.
        picture: Pixels (S, S, 3), of which each case takes as much as the file does.
        chosen: Index of the choice for each input besides the picture, by name.
        second: Pixels (S, S, 3) for each of those that is a picture, by name.
    """
    cases = []
    content = path.read_bytes()
    chosen = chosen or {}
    extra: dict[str, Any] = {}
    pictures = {}
    if chosen or second:
        inputs = {one.name: one for one in read(path.with_suffix(".json")).signatures[0].inputs}
        extra = {name: inputs[name].choices[index].values for name, index in chosen.items()}
    for name, pixels in (second or {}).items():
        extra[name] = to_image(pixels)
        pictures[name] = f"{path.stem}.{name}.{len(pixels)}.{pixels.sum()}.rgb"
        (path.parent / pictures[name]).write_bytes(pixels.tobytes())
    for signature in opened(content).get_signature_list():
        translator = TFLiteTranslator(content, threads=1, signature=signature, inputs=extra)
        height, width = translator.size or FREE_SIZE
        pixels = np.ascontiguousarray(picture[:height, :width])[None]
        taken = in_channels(pixels, translator.channels[0])
        runner = opened(content, threads=1).get_signature_runner(signature)
        # Java's interpreters prepare a file at the shape that it states before they resize it.
        prepared = True
        given = {name: np.float32([values]) for name, values in extra.items()}
        if translator.takes_picture:
            prepared = bool(runner.get_input_details()[INPUT]["shape"][1] > 1)
            given[INPUT] = taken if translator.io == "uint8" else taken.astype(np.float32)
        which = [*map(str, chosen.values()), *(str(one.sum()) for one in (second or {}).values())]
        stem = ".".join([path.stem, f"{height}x{width}", *which])
        shown = taken if translator.takes_picture else None
        files = {
            "pixels": (f"{stem}.rgb", translator(shown)),
            "values": (f"{stem}.values", runner(**given)[OUTPUT].astype("<f4")),
        }
        if translator.takes_picture:
            files["picture"] = (f"{height}x{width}.rgb", pixels)
        for name, values in files.values():
            (path.parent / name).write_bytes(values.tobytes())
        case: dict[str, Any] = {key: name for key, (name, _) in files.items()}
        case |= {"sidecar": f"{path.stem}.json", "height": height, "width": width}
        case |= {"pictures": pictures}
        cases.append(case | {"prepared": prepared, "chosen": chosen})
    return cases


def with_inputs(folder: Path, picture: NDArray[np.uint8]) -> list[dict[str, Any]]:
    """Writes files that take a style and a label, and returns their cases."""
    import inputs_stand_in  # beside this file, as is the next
    import small_files

    translator = inputs_stand_in.stand_in()
    made = {"float32": convert(fold(translator, side=64), io="float")}
    folded = fold(translator, side=64)
    made["int8-uint8"], _ = quantize(
        convert(folded, io="uint8"), "int8", layers=convolutions(folded)
    )
    made["float32-dynamic"] = convert(fold(translator, side=None), io="float")
    cases = []
    domains = {"source": "photo", "target": None}
    for kind, content in made.items():
        path = small_files.written(
            folder,
            f"any-{kind}",
            content,
            signatures=of_file(content, domains, inputs_stand_in.FIELDS),
            format=kind.split("-")[0],
            io="uint8" if "uint8" in kind else "float",
            direction="any",
            domains=domains,
            image_size=64,
            multiple=2,
        )
        print(path.name, flush=True)
        for chosen in ({"style": 0, "label": 0}, {"style": 5, "label": 4}):
            cases += answered(path, picture, chosen)
    return cases


def other_kinds(folder: Path, picture: NDArray[np.uint8]) -> list[dict[str, Any]]:
    """Writes files of samplers and of a translator with a second picture; returns their cases."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    import small_files
    from stand_in import Painter, Tinter
    from tfi2i_export.sidecar import fields_of

    cases = []
    painter, tinter = Painter(width=4), Tinter(image_size=48)
    int8 = fold(painter.network(), side=None)
    made = {
        "sample-float32": (painter, convert(int8)),
        "sample-int8-uint8": (
            painter,
            quantize(convert(int8, io="uint8"), "int8", layers=convolutions(int8))[0],
        ),
        "a2b-second-float32": (tinter, convert(fold(tinter.network(), side=64))),
    }
    for name, (system, content) in made.items():
        source = None if system is painter else "a"
        domains = {"source": source, "target": "b"}
        fields = {one.name: fields_of(one, None, "crop") for one in system.conditions}
        path = small_files.written(
            folder,
            name,
            content,
            signatures=of_file(content, domains, fields),
            format="int8" if "int8" in name else "float32",
            io="uint8" if "uint8" in name else "float",
            direction="a2b" if source else "sample",
            domains=domains,
        )
        print(path.name, flush=True)
        if source:
            for corner in (picture[:48, :48], picture[-48:, -48:]):
                second = {"reference": np.ascontiguousarray(corner)}
                cases += answered(path, picture, second=second)
        else:
            for chosen in ({"latent": 0, "label": 0}, {"latent": 6, "label": 2}):
                cases += answered(path, picture, chosen)
    return cases


def of_other_networks(folder: Path, picture: NDArray[np.uint8]) -> list[dict[str, Any]]:
    """Writes files that take or give grey, or enlarge by nearest pixels; returns their cases."""
    import small_files

    cases = []
    domains = {"source": "a", "target": "b"}
    networks = {
        name: (small_files.of_channels(taken, made), side)
        for name, (taken, made, side) in GREY.items()
    }
    nearest = NICEGAN(**NICEGAN.smoke, upsampling="nearest").network("a2b")
    networks |= {"nearest-float32-dynamic": (nearest, None), "nearest-int8-uint8": (nearest, 64)}
    for name, (network, side) in networks.items():
        folded = fold(network, side=side)
        io: Io = "uint8" if "uint8" in name else "float"
        content = convert(folded, io=io)
        if "int8-" in name:
            content, _ = quantize(content, "int8", layers=convolutions(folded))
        path = small_files.written(
            folder,
            name,
            content,
            signatures=of_file(content, domains),
            format="int8" if "int8-" in name else "float32",
            io=io,
            domains=domains,
            image_size=64,
            multiple=multiple_of(network),
        )
        print(path.name, flush=True)
        cases += answered(path, picture)
    return cases


def make(folder: Path) -> None:
    """Fills a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    runs = Path(tempfile.mkdtemp(dir=folder))
    try:
        run, data, system = trained(runs)
        picture, _ = data.pixels("test", "a", max(FREE_SIZE), limit=1, seed=0)
        cases = []
        for choice in choices():
            small = dataclasses.replace(choice, images=2, calibration=8)
            with quiet():
                path = export(
                    run, data, small, system=system, to=folder, accept=True, overwrite=True
                )
            print(path.name, flush=True)
            cases += answered(path, picture[0])
        cases += with_inputs(folder, picture[0])
        cases += other_kinds(folder, picture[0])
        cases += of_other_networks(folder, picture[0])
    finally:
        shutil.rmtree(runs)
    library = Path(ai_edge_litert.__file__).with_name("libLiteRt.so")
    write_text(
        folder / "manifest.json", to_json({"library": str(library), "cases": cases}, indent=1)
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    make(Path(sys.argv[1]))
    print(f"{len(json.loads((Path(sys.argv[1]) / 'manifest.json').read_text())['cases'])} cases")
