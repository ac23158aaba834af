"""`tfi2i compare`: configurations in; what their systems cost, and how far each gets in the time.

What is measured stands in comparison.json at once, so a comparison that was stopped goes on.
"""

import dataclasses
import json
import logging
import re
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from rich.progress import Progress

from tfi2i import yaml_text
from tfi2i.benchmark.measuring import in_own_process
from tfi2i.benchmark.presentation import markdown, picture
from tfi2i.config import config as configs
from tfi2i.config.config import Config
from tfi2i.errors import InputError
from tfi2i.files import replacing, to_json, write_text
from tfi2i.runs.environment import fast_precision
from tfi2i.runs.run import Run
from tfi2i.terminal import progress_bar

SCHEMA = 1
ROUNDS = 3  # each takes all systems in turn, so that what else the machine does hits all alike
REFERENCE = "nice_gan/scenes"
CHECKPOINTS = 5  # about so many in a training
ENDINGS = ("_steps", "_start")  # of the settings that are points of a schedule

log = logging.getLogger("tfi2i")


def compare(
    names: Sequence[str],
    out: Path,
    *,
    minutes: float = 6.0,
    overrides: Sequence[str] = (),
    seed: int = 0,
    reference: str | None = None,
    smoke: bool = False,
    training: bool = True,
    command: str = "tfi2i compare",
) -> dict[str, Any]:
    """Measures the systems of configurations side by side on this machine.

    Every measurement runs in a process of its own. A system trains for as many steps as fit into
    the minutes by its measured cost, with its schedule scaled to them.

    Args:
        names: Names of configurations, or their files; none: all shipped ones for scenes.
        out: Folder; what an interrupted comparison has measured there is not measured again.
        minutes: Minutes of training of each system.
        overrides: `section.key=value` each, for all systems.
        seed: Seed of the first weights, the order of examples, and the data where it has one.
        reference: Configuration whose step is 1; none: NICE-GAN's or else the first.
        smoke: Smallest versions, trained for some steps only.
        training: Switch of the training; without it, only what can be said before.
        command: Command as it was typed, for the record.

    Returns:
        What comparison.json holds; comparison.md and comparison.png stand beside it.

    Raises:
        InputError: names, numbers, settings or a folder that don't fit, or a system that fails.
    """
    if not 0 < minutes < float("inf"):
        raise InputError(f"--minutes is {minutes}; give a number above 0.")
    if seed < 0:
        raise InputError(f"--seed is {seed}; give 0 or more.")
    names = list(names) or [name for name in configs.shipped() if name.endswith("scenes")]
    stated = _loaded(names, overrides, seed, smoke)
    options = {
        "minutes": minutes,
        "seed": seed,
        "reference": _reference(reference, list(stated)),
        "smoke": smoke,
        "systems": {name: config.resolved().as_dict() for name, config in stated.items()},
    }
    comparison = _begun(out, options, command)
    with progress_bar() as progress:
        _measure(comparison, out, 1 if smoke else ROUNDS, progress)
        for entry in comparison["systems"] if training else ():
            _train(entry, stated[entry["name"]], options, out, progress)
            _save(comparison, out)
    write_text(out / "comparison.md", markdown(comparison))
    if training:
        with replacing(out / "comparison.png") as temporary:
            Image.fromarray(picture(comparison, out)).save(temporary)
    return comparison


# what to compare


def _loaded(
    names: Iterable[str], overrides: Sequence[str], seed: int, smoke: bool
) -> dict[str, Config]:
    """The configurations by name, all with the seed, and in the precision that is fast here."""
    loaded: dict[str, Config] = {}
    precision = fast_precision()
    for name in names:
        key = name.removesuffix(".yaml")
        if key in loaded:
            raise InputError(f"{name}: is named twice; name each configuration once.")
        load = configs.load_smoke if smoke else configs.load
        stated = load(name, overrides)
        chosen = [f"fit.seed={seed}"]
        if "seed" in stated.resolved().data:
            chosen.append(f"data.seed={seed}")
        if "dtype" not in stated.model:
            chosen.append(f"model.dtype={precision}")
        loaded[key] = load(name, [*chosen, *overrides])
    return loaded


def _reference(name: str | None, names: list[str]) -> str:
    if name is None:
        return REFERENCE if REFERENCE in names else names[0]
    if name.removesuffix(".yaml") not in names:
        raise InputError(f"--reference {name}: is not compared; choose from {', '.join(names)}.")
    return name.removesuffix(".yaml")


def _begun(out: Path, options: dict[str, Any], command: str) -> dict[str, Any]:
    """The comparison of a folder, with what it holds already; a new one if it holds none."""
    path = out / "comparison.json"
    plain = json.loads(to_json(options))
    fresh = [
        {
            "name": name,
            "folder": f"{number}-{re.sub(r'[^A-Za-z0-9_]+', '-', name).strip('-')[-40:]}",
            "system": config["system"],
            "batch_size": config["batches"]["batch_size"],
            "rounds": [],
        }
        for number, (name, config) in enumerate(plain["systems"].items(), start=1)
    ]
    if not path.is_file():
        return {"schema": SCHEMA, "command": command, "options": plain, "systems": fresh}
    try:
        comparison = json.loads(path.read_text(encoding="utf-8"))
        begun, typed = comparison["options"], comparison["command"]
        folders = [one["folder"] for one in comparison["systems"]]
        other = [key for key in plain if plain[key] != begun[key]]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: is not a comparison; give another folder to --out.") from error
    if folders != [one["folder"] for one in fresh] and not other:
        raise InputError(f"{path}: was changed by hand; give another folder to --out.")
    if other:
        raise InputError(
            f"{out}: holds a comparison with other settings ({', '.join(other)}), begun with"
            f" `{typed}`; repeat that to go on with it, or give a new folder to --out."
        )
    return comparison


# measuring


def _measure(comparison: dict[str, Any], out: Path, rounds: int, progress: Progress) -> None:
    """Sizes and costs, round by round."""
    systems = comparison["systems"]
    paths = {entry["name"]: out / "configs" / f"{entry['folder']}.yaml" for entry in systems}
    task = progress.add_task("", total=len(systems) * (1 + rounds))
    for entry in systems:
        name = entry["name"]
        progress.update(task, description=f"size of {name}")
        if "size" not in entry:
            write_text(paths[name], yaml_text.dump(comparison["options"]["systems"][name]))
            entry["size"] = in_own_process("size", paths[name])
            _save(comparison, out)
        progress.advance(task)
    for number in range(1, rounds + 1):
        for entry in systems:
            words = f"cost of {entry['name']}, round {number} of {rounds}"
            progress.update(task, description=words)
            if len(entry["rounds"]) < number:
                entry["rounds"].append(in_own_process("cost", paths[entry["name"]]))
                _save(comparison, out)
            progress.advance(task)
    _sum_up(comparison)
    _save(comparison, out)


def _sum_up(comparison: dict[str, Any]) -> None:
    """The cost of every system, from its rounds and those of the reference."""
    systems = comparison["systems"]
    seconds = {
        entry["name"]: [one["seconds_per_step"] for one in entry["rounds"]] for entry in systems
    }
    reference = seconds[comparison["options"]["reference"]]
    for entry in systems:
        steps = seconds[entry["name"]]
        ratios = [one / other for one, other in zip(steps, reference, strict=True)]
        memory = [one["memory_mb"] for one in entry["rounds"] if one["memory_mb"] is not None]
        entry["cost"] = {
            # The quickest round: what else the machine does can only slow a step.
            "seconds_per_step": min(steps),
            "ratio": min(steps) / min(reference),
            "ratio_low": min(ratios),
            "ratio_high": max(ratios),
            "memory_mb": statistics.median(memory) if memory else None,
        }


def _train(
    entry: dict[str, Any], config: Config, options: dict[str, Any], out: Path, progress: Progress
) -> None:
    """Trains a system and measures it, unless that is done."""
    if "training" in entry:
        return
    steps = int(60 * options["minutes"] / entry["cost"]["seconds_per_step"])
    if options["smoke"]:
        steps = config.resolved().compile["total_steps"]
    planned = for_steps(config, max(1, steps))
    total = planned.compile["total_steps"]
    path = out / "runs" / entry["folder"]
    if not path.is_dir():
        values, record = planned.resolved().as_dict(), entry["size"]["record"]
        Run.create(path.parent, config.system, entry["name"], values, record, folder=path.name)
    run = Run(path)
    log.info("training %s for %d steps: %s", entry["name"], total, path)
    task = progress.add_task(f"training {entry['name']}", total=total)

    def tell() -> None:
        reports = run.read_metrics()
        progress.update(task, completed=reports[-1]["step"] if reports else 0)

    entry["training"] = in_own_process("training", path, tell)
    progress.update(task, completed=total)


def for_steps(config: Config, steps: int) -> Config:
    """Fits a configuration to so many steps; the schedule keeps its shape, reports their pace.

    It is not judged while it trains, which would take time from the training: all systems are
    compared at their last step.
    """
    full = config.resolved()
    report_steps = min(full.fit["report_steps"], steps)
    total = report_steps * max(1, round(steps / report_steps))
    before = max(1, full.compile["total_steps"])
    points = {
        key: max(1, value * total // before)
        for key, value in full.compile.items()
        if isinstance(value, int) and key.endswith(ENDINGS) and value > 0
    }
    save_steps = report_steps * max(1, round(total / report_steps / CHECKPOINTS))
    reports = {"report_steps": report_steps, "evaluate_steps": 0, "show": False}
    saves = {"sample_steps": save_steps, "checkpoint_steps": save_steps}
    return dataclasses.replace(
        config,
        compile=config.compile | points | {"total_steps": total},
        fit=config.fit | reports | saves,
    )


def _save(comparison: dict[str, Any], out: Path) -> None:
    write_text(out / "comparison.json", to_json(comparison, indent=2) + "\n")
