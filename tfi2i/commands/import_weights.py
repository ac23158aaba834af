"""The verb that makes a run of the authors' weights: import."""

import argparse
from pathlib import Path
from typing import Any

from tfi2i.commands.arguments import SYSTEM_HELP, add_runs, add_set, add_verb
from tfi2i.errors import InputError, closest


def add(verbs) -> None:
    """Adds `tfi2i import`."""
    verb = add_verb(
        verbs,
        run,
        "import",
        "the authors' PyTorch weights in, run directory out",
        "The architecture is read off the weights where their shapes tell it; --set model.… says\n"
        "the rest. A checkpoint is one file with all networks, or a folder with a file for each,\n"
        "TAG_net_NETWORK.pth, as the codes of CycleGAN and CUT write them; of several tags the\n"
        "one called latest is taken, or the one that is named. MUNIT's and UNIT's folders have\n"
        "gen_NUMBER.pt and dis_NUMBER.pt. One translator is enough, even without its\n"
        "discriminator; networks that are not there are fresh. Pickled code is never run.",
        "  tfi2i import NICEGAN horse2zebra_params_latest.pt runs/horse2zebra\n"
        "  tfi2i import NICEGAN params.pt --set model.image_size=256 --runs imported\n"
        "  tfi2i import CycleGAN checkpoints/horse2zebra runs/horse2zebra\n"
        "  tfi2i import CycleGAN checkpoints/horse2zebra/100\n"
        "  tfi2i import MUNIT checkpoints/gen_00100000.pt\n"
        "  tfi2i import CycleGAN checkpoints/horse2zebra/100_net_G_A.pth\n"
        "  tfi2i import CycleGAN horse2zebra_pretrained/latest_net_G.pth --direction a2b",
    )
    verb.add_argument("system", metavar="SYSTEM", help=SYSTEM_HELP)
    verb.add_argument(
        "weights",
        metavar="CHECKPOINT",
        type=Path,
        help="the authors' .pt or .pth file, or a folder of such files, FOLDER or FOLDER/TAG",
    )
    verb.add_argument(
        "run", metavar="RUN", type=Path, nargs="?", help="a new folder [the next run of --runs]"
    )
    verb.add_argument(
        "--direction",
        metavar="NAME",
        help="what a file with one generator alone translates, such as b2a [the first direction]",
    )
    add_set(verb)
    add_runs(verb)


def run(arguments: argparse.Namespace) -> int:
    """Makes a run of a checkpoint of the authors."""
    from tfi2i.config import config as configs
    from tfi2i.official import checkpoints
    from tfi2i.runs import environment
    from tfi2i.runs.run import Run

    for override in arguments.overrides:
        if not override.startswith("model."):
            raise InputError(
                f"--set {override}: weights know nothing of it; only model.… can be set here,"
                f" such as {closest('', configs.schema(arguments.system, None)['model'])}"
            )
    stated = configs.load({"system": arguments.system}, arguments.overrides)
    checkpoint = checkpoints.read_checkpoint(
        arguments.system, arguments.weights, direction=arguments.direction
    )
    system = checkpoint.system(stated.model)
    known = configs.schema(arguments.system, None)["model"]
    settings = {key: value for key, value in system.get_config().items() if key in known}
    config = configs.load({"system": arguments.system, "model": settings}).resolved()
    system.compile(**config.compile)  # so that training can go on from these weights
    record = environment.describe() | {"imported": str(arguments.weights.resolve())}
    if checkpoint.fresh:
        record["fresh"] = list(checkpoint.fresh)
    name, settings, target = _imported_name(arguments.weights), config.as_dict(), arguments.run
    parent, folder = (target.parent, target.name) if target else (arguments.runs, None)
    whole: dict[str, Any] = {"folder": folder, "system": system, "translators": True}
    run = Run.create(parent, arguments.system, name, settings, record, **whole)
    print(f"{run.path} holds a checkpoint and the translators.")
    return 0


def _imported_name(path: Path) -> str:
    """Names a run after FOLDER, FOLDER/TAG, FOLDER/TAG_net_NETWORK.pth or NAME.pt."""
    path = path.resolve()
    if path.is_dir():
        return path.name
    if path.suffix and "_net_" not in path.name:
        return path.stem
    return f"{path.parent.name}-{path.name.partition('_net_')[0]}"
