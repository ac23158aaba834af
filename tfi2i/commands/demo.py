"""The verb that does the whole job on pictures drawn here, and shows that it worked: demo."""

import argparse
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfi2i.commands.arguments import add_out, add_seed, add_smoke, add_verb

if TYPE_CHECKING:
    from rich.console import Console

    from tfi2i.data.dataset import Dataset
    from tfi2i.data.domains import Pixels
    from tfi2i.runs.run import Run

CONFIG = "nice_gan/scenes"
TRAINING_IMAGES = 200  # of each domain, from which the trivial answers take their statistics
COLUMNS = 8
NAMES = {
    "identity": "the input itself",
    "colour_statistics": "colour transfer, by image",
    "colour_statistics_global": "colour transfer, one for all",
    "mean_image": "the mean image",
}


def add(verbs) -> None:
    """Adds `tfi2i demo`."""
    verb = add_verb(
        verbs,
        run,
        "demo",
        "the whole job on pictures drawn here, without any download",
        "Trains a small NICE-GAN to turn summer days into dusk posters, measures it against the\n"
        "truth and shows one picture of the result.",
        "  tfi2i demo\n  tfi2i demo --out /tmp/demo --seed 1\n  tfi2i demo --smoke",
    )
    add_out(verb, "folder to write to [demo]", default=Path("demo"))
    add_seed(verb)
    add_smoke(verb)


def run(arguments: argparse.Namespace) -> int:
    """Trains NICE-GAN on scenes, measures and exports it, and draws `demo.png`.

    Each demo is a run of its own in the folder `out`, and `out/demo.png` shows the latest. The
    summary that is printed is also in the run, as evaluation/demo.json.
    """
    from rich.console import Console

    from tfi2i.evaluate.evaluation import evaluate

    console = Console(stderr=True)
    made, system, data, summary = _trained(arguments, console)
    pixels = {key: data.pixels("test", key, system.image_size)[0] for key in "ab"}
    fakes, errors = _compared(system, data, pixels)
    summary |= {"pairs": len(pixels["a"]), "l1": errors, "int8": {}}
    console.print("Measuring on held-out pictures.")
    evaluation = evaluate(made, data, seed=arguments.seed)
    summary |= {"kid": _kid(evaluation), "notes": evaluation["warnings"]}
    small = _exported(made, system, data, pixels, summary)
    _write(arguments.out, made, summary, _picture(system, pixels, fakes, small))
    _show(console, arguments.out, made, summary)
    return 0


def _trained(
    arguments: argparse.Namespace, console: "Console"
) -> tuple["Run", Any, "Dataset", dict[str, Any]]:
    """Returns a trained run with its system and data, and the first lines of the summary."""
    from tfi2i.config import building
    from tfi2i.config import config as configs
    from tfi2i.runs import environment
    from tfi2i.runs.run import Run
    from tfi2i.training.fit import fit

    precision, seed = environment.fast_precision(), arguments.seed
    config = configs.load(
        CONFIG, [f"model.dtype={precision}", f"fit.seed={seed}", f"data.seed={seed}"]
    )
    if arguments.smoke:
        config = config.smoke()
    system, data = building.build_system(config), building.build_data(config)
    record = environment.describe() | {"data": data.description()}
    made = Run.create(arguments.out, config.system, "demo", config.resolved().as_dict(), record)
    console.print(
        f"Training {config.system} on {config.data_name} for {system.total_steps} steps of "
        f"{config.batches['batch_size']} images, {precision}, on {os.cpu_count()} CPU cores. "
        f"Watch {made.sample_path(0).parent}/*.png; it takes some minutes."
    )
    started = time.perf_counter()
    with made.lock(), made.logged():
        fit(system, data, made, config.batches, **config.fit)
    summary = {
        "system": config.system,
        "seed": seed,
        "precision": precision,
        "steps": system.step,
        "seconds": round(time.perf_counter() - started, 1),
        "cpus": os.cpu_count(),
    }
    return made, system, data, summary


def _compared(
    system: Any, data: "Dataset", pixels: dict[str, "Pixels"]
) -> tuple[dict[str, "Pixels"], dict[str, dict[str, float]]]:
    """Returns translations by direction, and their L1 beside that of trivial answers."""
    import numpy as np

    from tfi2i.evaluate.paired import l1, trivial_answers
    from tfi2i.pictures.pixels import run_over

    train = {
        key: np.stack(
            [domain.read(i, system.image_size) for i in range(min(TRAINING_IMAGES, len(domain)))]
        )
        for key, domain in data.train.items()
    }
    fakes, errors = {}, {}
    for way in system.directions:
        direction, source, target = way.name, way.source, way.target
        fakes[direction] = run_over(system.predictor(direction), pixels[source], batch=25)
        trivial = trivial_answers(pixels[source], pixels[target], train[source], train[target])
        error = l1(fakes[direction], pixels[target])
        share = error / min(trivial.values())
        errors[direction] = trivial | {"translation": error, "of_best_trivial": share}
    return fakes, errors


def _kid(evaluation: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Returns an evaluation's KIDs by direction: the translator's, and those to compare with."""
    return {
        direction: {
            "identity": found["trivial"]["identity"]["kid"],
            "colour_statistics": found["trivial"]["colour_statistics"]["kid"],
            "translation": found["checkpoints"]["last"]["kid"],
            "floor": found["floor"]["kid"],
        }
        for direction, found in evaluation["directions"].items()
    }


def _exported(
    made: "Run",
    system: Any,
    data: "Dataset",
    pixels: dict[str, "Pixels"],
    summary: dict[str, Any],
) -> dict[str, "Pixels"]:
    """Returns the int8 files' translations by direction, and adds files and L1 to the summary."""
    from tfi2i_export.exporting import Choice, export
    from tfi2i_export.tflite.interpreter import TFLiteTranslator

    from tfi2i.evaluate.paired import l1

    small = {}
    for way in system.directions:
        direction, source, target = way.name, way.source, way.target
        # Accepted whatever it agrees: a few steps of a demo may leave weights that quantize badly,
        # and the picture and the table show the difference.
        path = export(made, data, Choice(direction=direction), accept=True)
        small[direction] = TFLiteTranslator(path)(pixels[source])
        summary["l1"][direction]["int8"] = l1(small[direction], pixels[target])
        summary["int8"][direction] = {"file": str(path), "kilobytes": path.stat().st_size // 1000}
    return small


def _picture(
    system: Any,
    pixels: dict[str, "Pixels"],
    fakes: dict[str, "Pixels"],
    small: dict[str, "Pixels"],
) -> "Pixels":
    """Draws rows input, translation, int8 and truth for both directions of the first pairs."""
    from tfi2i.pictures import sheets

    rows = []
    for way in system.directions:
        rows += [
            (f"input {way.source}", pixels[way.source][:COLUMNS]),
            ("translation", fakes[way.name][:COLUMNS]),
            ("int8 .tflite", small[way.name][:COLUMNS]),
            (f"truth {way.target}", pixels[way.target][:COLUMNS]),
        ]
    return sheets.grid(rows, sheets.scale_for(rows[0][1].shape[1]))


def _write(out: Path, made: "Run", summary: dict[str, Any], picture: "Pixels") -> None:
    from PIL import Image

    from tfi2i.files import replacing, to_json, write_text

    write_text(made.evaluation_dir / "demo.json", to_json(summary, indent=2) + "\n")
    for path in (made.evaluation_dir / "demo.png", out / "demo.png"):
        with replacing(path) as temporary:
            Image.fromarray(picture).save(temporary)


def _show(console: "Console", out: Path, made: "Run", summary: dict[str, Any]) -> None:
    from rich.table import Table

    minutes, seconds = divmod(round(summary["seconds"]), 60)
    table = Table(title=f"L1 error on {summary['pairs']} held-out pairs, 0 to 1")
    table.add_column("answer")
    directions = list(summary["l1"])
    for direction in directions:
        table.add_column(direction, justify="right")
    for key, name in NAMES.items():
        table.add_row(name, *(f"{summary['l1'][d][key]:.3f}" for d in directions))
    table.add_section()
    table.add_row(
        f"[bold]{summary['system']}",
        *(f"[bold]{summary['l1'][d]['translation']:.3f}" for d in directions),
    )
    table.add_row(
        "the same as int8 .tflite", *(f"{summary['l1'][d]['int8']:.3f}" for d in directions)
    )
    table.add_row(
        "its share of the best trivial answer",
        *(f"{summary['l1'][d]['of_best_trivial']:.2f}" for d in directions),
    )
    console.print(table)
    table = Table(title="KID x 1000 (distance of the sets of pictures)")
    table.add_column("answer")
    for direction in directions:
        table.add_column(direction, justify="right")
    names = {
        "identity": NAMES["identity"],
        "colour_statistics": NAMES["colour_statistics"],
        "translation": f"[bold]{summary['system']}",
        "floor": "other real pictures",
    }
    for key, name in names.items():
        table.add_row(name, *(f"{1000 * summary['kid'][d][key]:.1f}" for d in directions))
    console.print(table)
    for note in summary["notes"]:
        console.print(f"Note: {note}", markup=False, highlight=False)
    console.print(
        f"{summary['steps']} steps in {minutes} min {seconds:02d} s, seed {summary['seed']}, "
        f"{summary['precision']}, {summary['cpus']} CPU cores.\n"
        f"Look at {out / 'demo.png'} and {made.evaluation_dir / 'report.html'}; the run is "
        f"{made.path}.\n"
        f"For the phone: {', '.join(one['file'] for one in summary['int8'].values())}, "
        f"{' and '.join(str(one['kilobytes']) for one in summary['int8'].values())} kB.\n"
        f"Use it: tfi2i translate {made.path} PICTURES --out FOLDER"
    )
