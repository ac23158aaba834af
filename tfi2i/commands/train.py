"""The verbs up to a trained run: list, demo, train, check-data and import."""

import argparse
import logging
import shutil
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfi2i.config import building
from tfi2i.config import config as configs
from tfi2i.config.config import Config
from tfi2i.config.signatures import Setting, closest, shown, wanted
from tfi2i.errors import InputError
from tfi2i.runs.run import Run, planned_name

log = logging.getLogger("tfi2i")


# list


def list_verb(arguments: argparse.Namespace) -> int:
    """`tfi2i list [SYSTEM]`."""
    if arguments.system is not None:
        _print_system(configs.system_class(arguments.system))
        return 0
    from tfi2i.models import ALL

    print("Systems (`tfi2i list SYSTEM` shows the settings):")
    for name, cls in ALL.items():
        print(f"  {name:12} {_first_line(cls)}")
    print("\nConfigurations (`tfi2i train NAME`):")
    known = configs.shipped()
    width = max(map(len, known), default=0)
    for name, path in known.items():
        print(f"  {name:{width}}  {_header(path)}")
    return 0


def _print_system(cls: Any) -> None:
    from tfi2i.data import SOURCES

    print(f"{cls.__name__}: {_first_line(cls)}")
    sections = configs.schema(cls.__name__, None)
    sections.pop("data")
    _print_section("model", "what changes the weights", sections.pop("model"))
    _print_section("compile", "what changes only the training", sections.pop("compile"))
    for source in SOURCES:
        table = configs.schema(cls.__name__, source)["data"]
        table.pop("source")
        _print_section("data", f"with `source: {source}`", table)
    for name, table in sections.items():
        about = {"batches": "how pictures become batches", "fit": "the course of a training"}[name]
        _print_section(name, about, table)
    print("\nConfigurations:")
    for name, path in configs.shipped().items():
        if configs.load(path).system == cls.__name__:
            print(f"  {name}: {_header(path)}")


def _print_section(name: str, about: str, table: Mapping[str, Setting]) -> None:
    print(f"\n{name}: ({about})")
    width = min(shutil.get_terminal_size().columns, 100)
    for setting in table.values():
        default = "required" if setting.required else shown(setting.default)
        print(f"  {setting.name}: {default}  ({wanted(setting.annotation)})")
        if setting.doc:
            indent = " " * 6
            print(
                textwrap.fill(setting.doc, width, initial_indent=indent, subsequent_indent=indent)
            )


def _first_line(cls: Any) -> str:
    return (cls.__doc__ or "").strip().partition("\n")[0]


def _header(path: Path) -> str:
    """The first line of a configuration's comment."""
    with path.open(encoding="utf-8") as file:
        line = file.readline().strip()
    return line.removeprefix("#").strip() if line.startswith("#") else ""


# demo


def demo_verb(arguments: argparse.Namespace) -> int:
    """`tfi2i demo`."""
    from tfi2i import demo

    demo.run(arguments.out, _int8, seed=arguments.seed, smoke=arguments.smoke)
    return 0


def _int8(run: Run, data: Any, direction: Any) -> tuple[Path, Any]:
    """The int8 file of a direction, and pixels -> pixels by it."""
    from tfi2i_export.exporting import Choice, export
    from tfi2i_export.tflite.interpreter import TFLiteTranslator

    # Accepted whatever it agrees: a few steps of a demo may leave weights that quantize badly, and
    # the picture and the table show the difference.
    path = export(run, data, Choice(direction=direction), accept=True)
    return path, TFLiteTranslator(path)


# train


def train_verb(arguments: argparse.Namespace) -> int:
    """`tfi2i train CONFIG` and `tfi2i train --resume RUN`."""
    if arguments.resume is not None:
        if arguments.config or arguments.smoke or arguments.dry_run:
            raise InputError(
                "--resume takes everything from the run; leave out CONFIG, --smoke and --dry-run."
            )
        return _resume(arguments.resume, arguments.overrides)
    if arguments.config is None:
        raise InputError(
            "train needs a CONFIG such as nice_gan/scenes (`tfi2i list` shows them),"
            " or --resume RUN."
        )
    config = configs.load(arguments.config, arguments.overrides)
    if arguments.smoke:
        config = config.smoke(arguments.overrides)
    system = building.build_system(config)
    if arguments.dry_run:
        _print_plan(config, system, arguments.runs)
        return 0
    from tfi2i.runs import environment

    data = building.build_data(config)
    # What batches refuse, and pictures that cannot be read, show before there is a run.
    data.batches(image_size=system.image_size, **config.batches)
    record = environment.describe() | {"data": data.description()}
    run = Run.create(
        arguments.runs, config.system, config.data_name, config.resolved().as_dict(), record
    )
    with run.lock(), run.logged():
        return _fit(config, system, data, run)


def _fit(config: Config, system: Any, data: Any, run: Run) -> int:
    from tfi2i.training.fit import fit

    log.info("run: %s", run.path)
    try:
        fit(system, data, run, batches=config.batches, **config.fit)
    except KeyboardInterrupt:
        print(
            f"\nStopped. To go on from the last checkpoint: tfi2i train --resume {run.path}",
            file=sys.stderr,
        )
        return 130
    print(f"Done. To use it: tfi2i translate {run.path} PICTURES --out FOLDER")
    return 0


def _resume(path: Path, overrides: list[str]) -> int:
    run = Run(path)
    begun = configs.load(run.config_path)
    for override in overrides:
        name = override.partition("=")[0].strip()
        # An imported run has no data yet; any other goes on with what it was begun with.
        if name != "compile.total_steps" and name.partition(".")[0] not in (
            ("fit",) if begun.data else ("fit", "data", "batches")
        ):
            raise InputError(
                f"--set {override}: a run goes on with the settings it was begun with, but for"
                " compile.total_steps and the section fit; begin a new run for the rest."
            )
    config = configs.load(run.config_path, overrides)
    with run.lock(), run.logged():
        return _go_on(run, begun, config)


def _go_on(run: Run, begun: Config, config: Config) -> int:
    # A run that was killed before its first checkpoint begins again, with the same first weights.
    began = run.checkpoint_path().is_file()
    system = run.load_system() if began else building.build_system(config)
    total = config.resolved().compile["total_steps"]
    if system.step >= total:
        raise InputError(
            f"{run.path}: has made all its {total:,} steps;"
            f" to go on, add --set compile.total_steps={2 * total}."
        )
    if total != system.total_steps:
        building.recompile(system, config)
    data = building.build_data(config)
    recorded = run.environment.get("data")
    if recorded and recorded != data.description():
        log.warning("The pictures are not those that the run began with; it goes on with these.")
    if config != begun:
        run.replace_config(config.resolved().as_dict())
    return _fit(config, system, data, run)


def _print_plan(config: Config, system: Any, runs: Path) -> None:
    print(configs.dump(config.resolved()), end="")
    print(f"\n# run: {runs / planned_name(runs, config.system, config.data_name)}")
    print("# parameters:")
    counted: set[int] = set()
    for network in system.layers:
        own = {id(variable) for variable in network.variables} - counted
        if own:  # not a view of networks that are counted already
            print(f"#   {network.name:12} {network.count_params():>13,}")
        counted |= own
    for direction in system.directions:
        count = system.translator(direction).count_params()
        print(f"#   {direction:12} {count:>13,}  (the translator)")


# check-data


def check_data_verb(arguments: argparse.Namespace) -> int:
    """`tfi2i check-data CONFIG_OR_FOLDER`."""
    from tfi2i.data.check import check

    report = check(building.build_data(_data_config(arguments.source, arguments.overrides)))
    print(report.text())
    return 1 if report.problems else 0


def _data_config(source: str | None, overrides: list[str]) -> Config:
    """The configuration of a file, a folder of trainA and trainB, or of settings alone."""
    from tfi2i.models import ALL

    if source is not None and not Path(source).is_dir():
        return configs.load(source, overrides)
    values: dict[str, Any] = {"system": next(iter(ALL))}  # any: only the data is looked at
    if source is not None:
        values["data"] = {"source": "folders", "root": source}
    elif not overrides:
        raise InputError(
            "check-data needs a configuration, a folder with trainA and trainB in it,"
            " or --set data.source=... and the settings of that source."
        )
    return configs.load(values, overrides)


# import


def import_verb(arguments: argparse.Namespace) -> int:
    """`tfi2i import SYSTEM CHECKPOINT`."""
    from tfi2i.official import weights
    from tfi2i.runs import environment

    for override in arguments.overrides:
        if not override.startswith("model."):
            raise InputError(
                f"--set {override}: weights know nothing of it; only model.… can be set here,"
                f" such as {closest('', configs.schema(arguments.system, None)['model'])}"
            )
    stated = configs.load({"system": arguments.system}, arguments.overrides)
    system = weights.import_checkpoint(arguments.system, arguments.weights, model=stated.model)
    known = configs.schema(arguments.system, None)["model"]
    settings = {key: value for key, value in system.get_config().items() if key in known}
    config = configs.load({"system": arguments.system, "model": settings}).resolved()
    system.compile(**config.compile)  # so that training can go on from these weights
    target = arguments.run
    run = Run.create(
        arguments.runs if target is None else target.parent,
        arguments.system,
        _imported_name(arguments.weights),
        config.as_dict(),
        environment.describe() | {"imported": str(arguments.weights.resolve())},
        folder=None if target is None else target.name,
    )
    run.save_checkpoint(system)
    run.save_translators(system)
    print(f"{run.path} holds a checkpoint and the translators.")
    return 0


def _imported_name(path: Path) -> str:
    """What a run is called after: FOLDER, FOLDER/TAG, FOLDER/TAG_net_NETWORK.pth or NAME.pt."""
    path = path.resolve()
    if path.is_dir():
        return path.name
    if path.suffix and "_net_" not in path.name:
        return path.stem
    return f"{path.parent.name}-{path.name.partition('_net_')[0]}"
