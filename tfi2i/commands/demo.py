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
    "translation": "NICEGAN",
    "int8": "the same as int8 .tflite",
    "of_best_trivial": "its share of the best trivial answer",
    "floor": "other real pictures",
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
    from tfi2i.evaluate.evaluation import evaluate
    from tfi2i.terminal import make_console

    console = make_console(stderr=True)
    demo_run, system, data, summary = _trained(arguments, console)
    console.print("Measuring on held-out pictures.")
    evaluation = evaluate(demo_run, data, system=system, seed=arguments.seed)
    errors, files, picture = _compared(demo_run, system, data)
    summary |= {"pairs": len(data.test["a"]), "l1": errors, "int8": files}
    summary |= {"kid": _kid(evaluation), "notes": evaluation["warnings"]}
    _write(arguments.out, demo_run, summary, picture)
    _show(console, arguments.out, demo_run, summary)
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
    demo_run = Run.create(arguments.out, config.system, "demo", config.resolved().as_dict(), record)
    console.print(
        f"Training {config.system} on {config.data_name} for {system.total_steps} steps of "
        f"{config.batches['batch_size']} images, {precision}, on {os.cpu_count()} CPU cores. "
        f"Watch {demo_run.sample_path(0).parent}/*.png; it takes some minutes."
    )
    started = time.perf_counter()
    with demo_run.lock(), demo_run.logged():
        fit(system, data, demo_run, config.batches, **config.fit)
    summary = {
        "system": config.system,
        "seed": seed,
        "precision": precision,
        "steps": system.step,
        "seconds": round(time.perf_counter() - started, 1),
        "cpus": os.cpu_count(),
    }
    return demo_run, system, data, summary


def _compared(
    demo_run: "Run", system: Any, data: "Dataset"
) -> tuple[dict[str, Any], dict[str, Any], "Pixels"]:
    """Exports int8 files and compares them with the system, trivial answers and the truth.

    Returns the L1 errors and the files, both by direction, and a sheet of the first pairs: input,
    translation, int8 and truth.
    """
    from tfi2i_export.exporting import Choice, export
    from tfi2i_export.tflite.interpreter import TFLiteTranslator

    from tfi2i.evaluate.paired import l1, trivial_answers
    from tfi2i.pictures import sheets
    from tfi2i.pictures.pixels import run_over

    test, train = (
        {key: data.pixels(split, key, system.image_size, limit=limit, seed=None)[0] for key in "ab"}
        for split, limit in (("test", None), ("train", TRAINING_IMAGES))
    )
    errors, files, rows = {}, {}, []
    for way in system.directions:
        inputs, truths = test[way.source], test[way.target]
        fakes = run_over(system.predictor(way.name), inputs, batch=25)
        # Accepted whatever it agrees: a few steps of a demo may leave weights that quantize badly,
        # and the picture and the table show the difference.
        choice = Choice(direction=way.name)
        path = export(demo_run, data, choice, system=system, accept=True)
        small = TFLiteTranslator(path)(inputs)
        trivial = trivial_answers(inputs, truths, train[way.source], train[way.target])
        error = l1(fakes, truths)
        errors[way.name] = trivial | {
            "translation": error,
            "int8": l1(small, truths),
            "of_best_trivial": error / min(trivial.values()),
        }
        files[way.name] = {"file": str(path), "kilobytes": path.stat().st_size // 1000}
        rows += [
            (f"input {way.source}", inputs[:COLUMNS]),
            ("translation", fakes[:COLUMNS]),
            ("int8 .tflite", small[:COLUMNS]),
            (f"truth {way.target}", truths[:COLUMNS]),
        ]
    return errors, files, sheets.grid(rows, sheets.scale_for(system.image_size))


def _kid(evaluation: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Returns an evaluation's KIDs by direction: the translator's, and those to compare with."""
    return {
        direction: {name: answer["kid"] for name, answer in found["trivial"].items()}
        | {"translation": found["checkpoints"]["last"]["kid"], "floor": found["floor"]["kid"]}
        for direction, found in evaluation["directions"].items()
    }


def _write(out: Path, demo_run: "Run", summary: dict[str, Any], picture: "Pixels") -> None:
    from PIL import Image

    from tfi2i.files import replacing, to_json, write_text

    write_text(demo_run.evaluation_dir / "demo.json", to_json(summary, indent=2) + "\n")
    for path in (demo_run.evaluation_dir / "demo.png", out / "demo.png"):
        with replacing(path) as temporary:
            Image.fromarray(picture).save(temporary)


def _show(console: "Console", out: Path, demo_run: "Run", summary: dict[str, Any]) -> None:
    from rich.table import Table

    for title, figure, factor, digits in (
        (f"L1 error on {summary['pairs']} held-out pairs, 0 to 1", "l1", 1, 3),
        ("KID x 1000 (distance of the sets of pictures)", "kid", 1000, 1),
    ):
        table = Table("answer", title=title)
        directions = summary[figure].values()
        for direction in summary[figure]:
            table.add_column(direction, justify="right")
        for key in next(iter(directions)):
            places = 2 if key == "of_best_trivial" else digits
            cells = (f"{factor * figures[key]:.{places}f}" for figures in directions)
            style = "bold" if key == "translation" else None
            table.add_row(NAMES[key], *cells, style=style, end_section=key == "mean_image")
        console.print(table)
    for note in summary["notes"]:
        console.print(f"Note: {note}", markup=False, highlight=False)
    minutes, seconds = divmod(round(summary["seconds"]), 60)
    console.print(
        f"{summary['steps']} steps in {minutes} min {seconds:02d} s, seed {summary['seed']}, "
        f"{summary['precision']}, {summary['cpus']} CPU cores.\n"
        f"Look at {out / 'demo.png'} and {demo_run.evaluation_dir / 'report.html'}; the run is "
        f"{demo_run.path}.\n"
        f"For the phone: {', '.join(one['file'] for one in summary['int8'].values())}, "
        f"{' and '.join(str(one['kilobytes']) for one in summary['int8'].values())} kB.\n"
        f"Use it: tfi2i translate {demo_run.path} PICTURES --out FOLDER"
    )
