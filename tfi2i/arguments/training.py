"""The verbs around training."""

from pathlib import Path

from tfi2i.arguments.shared import CONFIG_HELP, add_runs, add_set, add_verb


def add_list(verbs) -> None:
    """`tfi2i list`."""
    verb = add_verb(
        verbs,
        "train",
        "list",
        "show systems, their settings and the shipped configurations",
        "Without SYSTEM: one line a system, one a configuration. With it: every setting of every\n"
        "section of a configuration, with default, type and meaning.",
        "  tfi2i list\n  tfi2i list CycleGAN",
    )
    verb.add_argument("system", metavar="SYSTEM", nargs="?", help="such as NICEGAN or CUT")


def add_demo(verbs) -> None:
    """`tfi2i demo`."""
    verb = add_verb(
        verbs,
        "train",
        "demo",
        "the whole job on pictures drawn here, without any download",
        "Trains a small NICE-GAN to turn summer days into dusk posters, measures it against the\n"
        "truth and shows one picture of the result.",
        "  tfi2i demo\n  tfi2i demo --out /tmp/demo --seed 1\n  tfi2i demo --smoke",
    )
    verb.add_argument(
        "--out", metavar="DIR", type=Path, default=Path("demo"), help="folder to write to [demo]"
    )
    verb.add_argument(
        "--seed", type=int, default=0, help="another seed, other pictures and weights [0]"
    )
    verb.add_argument(
        "--smoke", action="store_true", help="a few steps of a tiny system: does everything run?"
    )


def add_train(verbs) -> None:
    """`tfi2i train`."""
    verb = add_verb(
        verbs,
        "train",
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


def add_check_data(verbs) -> None:
    """`tfi2i check-data`."""
    verb = add_verb(
        verbs,
        "train",
        "check-data",
        "look at every picture before hours of training depend on them",
        "Reports counts, sizes, unreadable files, duplicates, and pictures that training and test\n"
        "share. The exit code is 1 if there are problems.",
        "  tfi2i check-data horse2zebra/            a folder with trainA and trainB\n"
        "  tfi2i check-data my.yaml\n"
        "  tfi2i check-data --set data.source=folders --set data.a=photos --set data.b=paintings",
    )
    verb.add_argument("source", metavar="CONFIG_OR_FOLDER", nargs="?", help=CONFIG_HELP)
    add_set(verb)


def add_import(verbs) -> None:
    """`tfi2i import`."""
    verb = add_verb(
        verbs,
        "train",
        "import",
        "the authors' PyTorch weights in, run directory out",
        "The architecture is read off the weights where their shapes tell it; --set model.… says\n"
        "the rest. A checkpoint is one file with all networks, or a folder with a file for each,\n"
        "TAG_net_NETWORK.pth, as the codes of CycleGAN and CUT write them; of several tags the\n"
        "one called latest is taken, or the one that is named. Pickled code is never run.",
        "  tfi2i import NICEGAN horse2zebra_params_latest.pt runs/horse2zebra\n"
        "  tfi2i import NICEGAN params.pt --set model.image_size=256 --runs imported\n"
        "  tfi2i import CycleGAN checkpoints/horse2zebra runs/horse2zebra\n"
        "  tfi2i import CycleGAN checkpoints/horse2zebra/100\n"
        "  tfi2i import CycleGAN checkpoints/horse2zebra/100_net_G_A.pth",
    )
    verb.add_argument("system", metavar="SYSTEM", help="such as NICEGAN or CUT")
    verb.add_argument(
        "weights",
        metavar="CHECKPOINT",
        type=Path,
        help="the authors' .pt or .pth file, or a folder of such files, FOLDER or FOLDER/TAG",
    )
    verb.add_argument(
        "run", metavar="RUN", type=Path, nargs="?", help="a new folder [the next run of --runs]"
    )
    add_set(verb)
    add_runs(verb)
