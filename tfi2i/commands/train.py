"""The verb that trains: train."""

import argparse
import contextlib
import dataclasses
import errno
import functools
import logging
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfi2i.commands.arguments import CONFIG_HELP, add_runs, add_set, add_verb
from tfi2i.errors import InputError
from tfi2i.terminal import printable

if TYPE_CHECKING:
    from tfi2i.config.config import Config
    from tfi2i.runs.run import Run

log = logging.getLogger("tfi2i")


class Terminated(KeyboardInterrupt):
    """SIGTERM, which stops a training as Ctrl-C does."""


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
        "  tfi2i train my.yaml --init runs/00003-nicegan-horse2zebra\n"
        "  tfi2i train --resume runs/00003-nicegan-horse2zebra\n"
        "  tfi2i train --resume runs/00003-nicegan-horse2zebra --set compile.learning_rate=1e-5\n"
        "  tfi2i train --resume runs/00003-nicegan-horse2zebra --set compile.total_steps=200000",
    )
    verb.add_argument("config", metavar="CONFIG", nargs="?", help=CONFIG_HELP)
    verb.add_argument(
        "--resume",
        metavar="RUN",
        type=Path,
        help="go on with a run, with the configuration it has; --set may change the section fit,"
        " and of the section compile what changes no variable, such as rates and weights of"
        " losses; the run keeps that, with its step",
    )
    verb.add_argument(
        "--init",
        metavar="RUN_OR_FILE",
        type=Path,
        help="begin with the weights of a run (those that were trained, not their averages), of a"
        " .keras file, or of an official PyTorch checkpoint, as far as they fit: fine-tuning",
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
    try:
        with _terminated_in_order():
            return _train(arguments)
    except Terminated:
        print("tfi2i: error: stopped.", file=sys.stderr)
        return 143


@contextlib.contextmanager
def _terminated_in_order() -> Iterator[None]:
    """Raises the first SIGTERM inside as `Terminated`, unless somebody else handles it."""

    def stop(number, frame):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise Terminated

    here = threading.current_thread() is threading.main_thread()
    if not here or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _train(arguments: argparse.Namespace) -> int:
    from tfi2i.config import building
    from tfi2i.config import config as configs
    from tfi2i.runs import environment
    from tfi2i.runs.initial import init_from
    from tfi2i.runs.run import Run

    if arguments.resume is not None:
        if arguments.config or arguments.smoke or arguments.dry_run or arguments.init:
            raise InputError(
                "--resume takes everything from the run; leave out CONFIG, --init, --smoke and"
                " --dry-run."
            )
        return _resume(arguments.resume, arguments.overrides)
    if arguments.config is None:
        raise InputError(
            "train needs a CONFIG such as nice_gan/scenes (`tfi2i list` shows them),"
            " or --resume RUN."
        )
    load = configs.load_smoke if arguments.smoke else configs.load
    config = load(arguments.config, arguments.overrides)
    system = building.build_system(config)
    initial = init_from(system, arguments.init) if arguments.init else None
    if arguments.dry_run:
        _print_plan(config, system, arguments.runs)
        if initial:
            print(f"# {initial}")
        return 0
    data = building.build_data(config)
    # What is refused shows before there is a run.
    said = building.require_trainable(config, data, system)
    config = dataclasses.replace(config, data=config.data | _found(data))
    record = environment.describe() | {"data": data.description()}
    if initial:
        record["init"] = initial.record()
    run = Run.create(
        arguments.runs,
        config.system,
        config.data_name,
        config.resolved().as_dict(),
        record,
        system=system if initial else None,
    )
    with run.lock(), run.logged():
        for sentence in said.faults:
            log.warning("%s", printable(sentence))
        for sentence in said.notes:
            log.info("%s", printable(sentence))
        if initial:
            log.info("%s", initial)
        return _fit(config, system, data, run)


def _found(data: Any) -> dict[str, Any]:
    """Settings that the source found out, such as ranges of values, to keep with the run."""
    return {key: data.settings[key] for key in ("value_range",) if key in data.settings}


def _fit(config: "Config", system: Any, data: Any, run: "Run") -> int:
    from tfi2i.training.fit import fit

    log.info("run: %s", run.path)
    try:
        fit(system, data, run, batches=config.batches, **config.fit)
    except KeyboardInterrupt as stopped:
        print(
            f"\nStopped. To go on from the last checkpoint: tfi2i train --resume {run.path}",
            file=sys.stderr,
        )
        return 143 if isinstance(stopped, Terminated) else 130
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        way_out = f"make room, and go on by tfi2i train --resume {run.path}"
        raise OSError(error.errno, f"{error.strerror}; {way_out}", error.filename) from error
    print(f"Done. To use it: tfi2i translate {run.path} PICTURES --out FOLDER")
    return 0


def _resume(path: Path, overrides: list[str]) -> int:
    from tfi2i.config import building
    from tfi2i.config import config as configs
    from tfi2i.runs.run import Run
    from tfi2i.training.fit import CATCH_UP, catch_up

    run = Run(path)
    begun = configs.load(run.config_path)
    # An imported run has no data yet; any other goes on with what it was begun with.
    free = ("fit", "compile") if begun.data else ("fit", "compile", "data", "batches")
    for override in overrides:
        if override.partition("=")[0].strip().partition(".")[0] not in free:
            raise InputError(
                f"--set {override}: a run goes on with the settings it was begun with, but for"
                " the sections fit and compile; begin a new run for the rest."
            )
    config = configs.load(run.config_path, overrides)
    with run.lock(), run.logged():
        # A run that was killed before its first checkpoint begins again, with the same weights.
        saved = run.checkpoint_path().is_file()
        fresh = dataclasses.replace(config, compile=begun.compile)
        system = run.load_system() if saved else building.build_system(fresh)
        total = config.resolved().compile["total_steps"]
        run.read_metrics()  # damage shows before anything is done
        _refuse_edits(run, begun, system)
        if saved:
            settings = {key: begun.resolved().fit[key] for key in CATCH_UP}
            opened = functools.partial(building.build_data, begun if begun.data else config)
            catch_up(system, opened, run, begun.batches, **settings)
        if system.step >= total:
            raise InputError(
                f"{run.path}: has made all its {total:,} steps;"
                f" to go on, add --set compile.total_steps={2 * total}."
            )
        new = _changes(begun, config, system.step)
        changes = [*run.changes, *new]
        _apply(system, config, [one["setting"] for one in changes])
        data = building.build_data(config)
        if run.environment.get("data") not in (None, {}, data.description()):
            log.warning(
                "The pictures are not those that the run began with; it goes on with these."
            )
        config = dataclasses.replace(config, data=config.data | _found(data))
        if config != begun:
            run.replace_config(config.resolved().as_dict(), changes)
            for one in new:
                log.info("step %(step)d: %(setting)s is now %(after)s, %(before)s before", one)
        return _fit(config, system, data, run)


def _refuse_edits(run: "Run", begun: "Config", system: Any) -> None:
    """Refuses numbers of training that were changed in config.yaml, where nothing takes them up."""
    from tfi2i.runs.architecture import plain

    noted = {one["setting"] for one in run.changes} | {"compile.total_steps"}
    for name, value in begun.resolved().compile.items():
        made = getattr(system, name, value)
        if f"compile.{name}" not in noted and not callable(made) and plain(value) != plain(made):
            raise InputError(
                f"{run.config_path}: compile.{name} is {printable(str(value), 60)}, but the"
                f" checkpoint was trained with {printable(str(made), 60)}; write that there again,"
                f" and change it by --set compile.{name}=..., which is kept with its step."
            )


def _changes(begun: "Config", config: "Config", step: int) -> list[dict[str, Any]]:
    """The settings of training that are other ones from a step on."""
    changes = []
    for section in ("compile", "fit"):
        before, after = (getattr(one.resolved(), section) for one in (begun, config))
        for name, value in after.items():
            if value != before[name]:
                one = {"setting": f"{section}.{name}", "before": before[name], "after": value}
                changes.append({"step": step, **one})
    return changes


def _apply(system: Any, config: "Config", settings: list[str]) -> None:
    """Gives a system the numbers that were changed, unless its checkpoint has them already."""
    from tfi2i.config import building

    wanted = config.resolved().compile
    names = {name for name in settings if name.startswith("compile.")} | {"compile.total_steps"}
    changed = [
        name
        for name in sorted(one.removeprefix("compile.") for one in names)
        if name in wanted and wanted[name] != getattr(system, name)
    ]
    if changed:
        building.recompile(system, config, changed)


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
