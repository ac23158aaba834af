"""The verb that trains: train."""

import argparse
import dataclasses
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfi2i.commands.arguments import CONFIG_HELP, add_runs, add_set, add_verb
from tfi2i.errors import InputError
from tfi2i.terminal import printable

if TYPE_CHECKING:
    from tfi2i.config.config import Config
    from tfi2i.runs.run import Run

log = logging.getLogger("tfi2i")


def add(verbs) -> None:
    """Adds `tfi2i train`."""
    verb = add_verb(
        verbs,
        run,
        "train",
        "train a system: configuration in, run directory out",
        "The run is named NUMBER-SYSTEM-DATA and holds checkpoints, samples, metrics and\n"
        "translators. It can be stopped at any moment, even with kill -9, and resumed: it goes on\n"
        "from its last checkpoint as if it had not stopped. Settings in `..._steps` are generator\n"
        "updates, sizes are pixels.",
        "  tfi2i train nice_gan/scenes --smoke\n"
        "  tfi2i train nice_gan/horse2zebra --set model.image_size=128\n"
        "  tfi2i train my.yaml --dry-run\n"
        "  tfi2i train --resume runs/00003-nicegan-horse2zebra\n"
        "  tfi2i train --resume runs/00003-nicegan-horse2zebra --set compile.total_steps=200000",
    )
    verb.add_argument("config", metavar="CONFIG", nargs="?", help=CONFIG_HELP)
    verb.add_argument(
        "--resume",
        metavar="RUN",
        type=Path,
        help="go on with a run, with the configuration it has; --set may change only"
        " compile.total_steps and the section fit",
    )
    add_set(verb)
    verb.add_argument(
        "--smoke", action="store_true", help="the smallest version of it, a minute on two cores"
    )
    verb.add_argument(
        "-n",
        "--dry-run",
        action="store_true",
        help="print the complete configuration, the run's name and the sizes of the networks, and"
        " write nothing",
    )
    add_runs(verb)


def run(arguments: argparse.Namespace) -> int:
    """Begins a run, or goes on with one."""
    from tfi2i.config import building
    from tfi2i.config import config as configs
    from tfi2i.runs import environment
    from tfi2i.runs.run import Run

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
    data = building.build_data(config)
    # What is refused shows before there is a run.
    said = building.require_trainable(config, data, system)
    config = dataclasses.replace(config, data=config.data | _found(data))
    record = environment.describe() | {"data": data.description()}
    settings = config.resolved().as_dict()
    run = Run.create(arguments.runs, config.system, config.data_name, settings, record)
    with run.lock(), run.logged():
        for sentence in said.faults:
            log.warning("%s", printable(sentence))
        for sentence in said.notes:
            log.info("%s", printable(sentence))
        return _fit(config, system, data, run)


def _found(data: Any) -> dict[str, Any]:
    """Settings that the source found out, such as ranges of values, to keep with the run."""
    return {key: data.settings[key] for key in ("value_range",) if key in data.settings}


def _fit(config: "Config", system: Any, data: Any, run: "Run") -> int:
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
    from tfi2i.config import building
    from tfi2i.config import config as configs
    from tfi2i.runs.run import Run

    run = Run(path)
    begun = configs.load(run.config_path)
    # An imported run has no data yet; any other goes on with what it was begun with.
    free = ("fit",) if begun.data else ("fit", "data", "batches")
    for override in overrides:
        name = override.partition("=")[0].strip()
        if name != "compile.total_steps" and name.partition(".")[0] not in free:
            raise InputError(
                f"--set {override}: a run goes on with the settings it was begun with, but for"
                " compile.total_steps and the section fit; begin a new run for the rest."
            )
    config = configs.load(run.config_path, overrides)
    with run.lock(), run.logged():
        # A run that was killed before its first checkpoint begins again, with the same weights.
        saved = run.checkpoint_path().is_file()
        system = run.load_system() if saved else building.build_system(config)
        total = config.resolved().compile["total_steps"]
        if system.step >= total:
            raise InputError(
                f"{run.path}: has made all its {total:,} steps;"
                f" to go on, add --set compile.total_steps={2 * total}."
            )
        if total != system.total_steps:
            building.recompile(system, config)
        data = building.build_data(config)
        if run.environment.get("data") not in (None, {}, data.description()):
            log.warning(
                "The pictures are not those that the run began with; it goes on with these."
            )
        config = dataclasses.replace(config, data=config.data | _found(data))
        if config != begun:
            run.replace_config(config.resolved().as_dict())
        return _fit(config, system, data, run)


def _print_plan(config: "Config", system: Any, runs: Path) -> None:
    from tfi2i.config import config as configs
    from tfi2i.runs.run import planned_name

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
        count = system.network(direction.name).count_params()
        print(f"#   {direction.name:12} {count:>13,}  (the translator)")
