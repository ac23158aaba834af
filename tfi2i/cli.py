"""The command line: what can be typed; what it does stands in `tfi2i.verbs`.

Verbs take paths and formats. The numbers of training stand in a configuration, so this list of
options does not grow with the systems. Nothing here imports TensorFlow: `--help` answers at once.
"""

import argparse
import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tfi2i import __version__
from tfi2i.errors import InputError

ABOUT = """\
Image-to-image translation, from training to the phone: one system a paper, NICE-GAN first.

A configuration (YAML) goes in, a run directory comes out; everything else reads that directory.
"""

START = """\
Begin here:
  tfi2i demo                                  learn on pictures drawn here; no download, no settings
  tfi2i list                                  the systems and the configurations that come along
  tfi2i train nice_gan/folders --set data.a=photos --set data.b=paintings
  tfi2i translate runs/00001-nicegan-photos2paintings holiday/*.jpg --out painted

`tfi2i VERB --help` explains one verb. Exit codes: 0 done; 1 done but for pictures with
problems, or the machine failed; 2 the input has to be changed, and one sentence says how; 130
stopped by Ctrl-C.
"""

# Lines of level I, the remark that there is no log yet, and that there is no GPU driver (303).
GREETING = re.compile(
    r"I\d{4} |\d{4}-\d\d-\d\d [\d:.]+: I |WARNING: All log messages before absl"
    r"|E.* failed call to cuInit: .*\(303\)"
)

CONFIG_HELP = "a YAML file, or the name of a shipped one such as nice_gan/scenes (see `tfi2i list`)"
SET_HELP = "one setting, in YAML, instead of the file's; may be given several times"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    handler = _Terminal()
    handler.setFormatter(logging.Formatter("%(message)s"))
    log = logging.getLogger("tfi2i")
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        return _run(parser, arguments)
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


class _Terminal(logging.Handler):
    """Writes to whatever stderr is at the moment: a progress bar puts its own in place of it."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr)


def _run(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    if arguments.verb is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        _import_tensorflow()
        code = _verb(arguments.verb)(arguments)
        sys.stdout.flush()
        return code
    except InputError as error:
        return _failed(str(error), 2)
    except KeyboardInterrupt:
        return _failed("stopped.", 130)
    except BrokenPipeError:
        # The reader (`| head`) has enough. Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a full disk, a missing permission: nothing a traceback explains
        about = f"{error.filename}: " if error.filename else ""
        return _failed(f"{about}{error.strerror or error}.", 1)


def _verb(name: str) -> Callable[[argparse.Namespace], int]:
    from tfi2i import verbs

    return getattr(verbs, name)


def _import_tensorflow() -> None:
    """Imports TensorFlow without its greetings, unless the user asked for its log.

    It writes them past Python, and since 2.18 before it looks at TF_CPP_MIN_LOG_LEVEL; so the
    file descriptor is redirected meanwhile, and all else that came is passed on.
    """
    if "tensorflow" in sys.modules or "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        return
    # Not 2: TensorFlow 2.21 reports as errors what its own graph rewriting gives up on. What
    # really goes wrong comes as an exception too, and the device in use is logged.
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
            caught.seek(0)
            for line in caught.read().decode(errors="replace").splitlines():
                if not GREETING.match(line):
                    print(line, file=sys.stderr)


def _failed(message: str, code: int) -> int:
    # A file's name may hold anything, even codes that rewrite the terminal.
    shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in message)
    print(f"tfi2i: error: {shown}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tfi2i",
        description=ABOUT,
        epilog=START,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"tfi2i {__version__}")
    parser.set_defaults(verb=None)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB")
    _add_list(verbs)
    _add_demo(verbs)
    _add_train(verbs)
    _add_translate(verbs)
    _add_check_data(verbs)
    _add_import(verbs)
    return parser


def _add(verbs, name: str, summary: str, about: str, examples: str) -> argparse.ArgumentParser:
    """A verb with its description above the options and examples below them."""
    verb = verbs.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.\n\n{about}",
        epilog=f"Examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verb.set_defaults(verb=f"{name.replace('-', '_')}_verb")
    return verb


def _add_list(verbs) -> None:
    verb = _add(
        verbs,
        "list",
        "show systems, their settings and the shipped configurations",
        "Without SYSTEM: one line a system, one a configuration. With it: every setting of every\n"
        "section of a configuration, with default, type and meaning.",
        "  tfi2i list\n  tfi2i list NICEGAN",
    )
    verb.add_argument("system", metavar="SYSTEM", nargs="?", help="such as NICEGAN")


def _add_demo(verbs) -> None:
    verb = _add(
        verbs,
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


def _add_train(verbs) -> None:
    verb = _add(
        verbs,
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
    _add_set(verb)
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
    _add_runs(verb)


def _add_translate(verbs) -> None:
    verb = _add(
        verbs,
        "translate",
        "translate pictures of any size with a trained system",
        "Results keep the pictures' size, name and sub-folders. Big pictures are done in\n"
        "overlapping tiles. A picture that cannot be read is named, and the others are done.",
        "  tfi2i translate runs/00003-nicegan-horse2zebra photos/ --out zebras\n"
        "  tfi2i translate runs/00003-nicegan-horse2zebra zebra.png --out horses --direction b2a\n"
        "  tfi2i translate a2b.keras *.jpg --out out --tile 512",
    )
    verb.add_argument(
        "model",
        metavar="RUN_OR_TRANSLATOR",
        type=Path,
        help="a run directory, or a .keras file of a run's translators/ folder",
    )
    verb.add_argument(
        "images", metavar="IMAGES", type=Path, nargs="+", help="picture files, or folders of them"
    )
    verb.add_argument(
        "--out", metavar="DIR", type=Path, required=True, help="folder for the results"
    )
    verb.add_argument(
        "--direction",
        choices=("a2b", "b2a"),
        help="from domain a to b or back; only for a run [a2b]",
    )
    verb.add_argument(
        "--tile",
        metavar="N",
        type=int,
        help="side of the tiles in pixels: smaller needs less memory [chosen by the size]",
    )
    verb.add_argument(
        "--overwrite", action="store_true", help="replace results that are there already"
    )
    verb.add_argument(
        "--format", metavar="SUFFIX", help="such as png, for all results [the pictures' own]"
    )


def _add_check_data(verbs) -> None:
    verb = _add(
        verbs,
        "check-data",
        "look at every picture before hours of training depend on them",
        "Reports counts, sizes, unreadable files, duplicates, and pictures that training and test\n"
        "share. The exit code is 1 if there are problems.",
        "  tfi2i check-data horse2zebra/            a folder with trainA and trainB\n"
        "  tfi2i check-data my.yaml\n"
        "  tfi2i check-data --set data.source=folders --set data.a=photos --set data.b=paintings",
    )
    verb.add_argument("source", metavar="CONFIG_OR_FOLDER", nargs="?", help=CONFIG_HELP)
    _add_set(verb)


def _add_import(verbs) -> None:
    verb = _add(
        verbs,
        "import",
        "the authors' PyTorch weights in, run directory out",
        "The architecture is read off the weights where their shapes tell it; --set model.… says\n"
        "the rest. The file's pickled code is never run.",
        "  tfi2i import NICEGAN horse2zebra_params_latest.pt runs/horse2zebra\n"
        "  tfi2i import NICEGAN params.pt --set model.image_size=256 --runs imported",
    )
    verb.add_argument("system", metavar="SYSTEM", help="such as NICEGAN")
    verb.add_argument("weights", metavar="FILE", type=Path, help="the authors' checkpoint, .pt")
    verb.add_argument(
        "run", metavar="RUN", type=Path, nargs="?", help="a new folder [the next run of --runs]"
    )
    _add_set(verb)
    _add_runs(verb)


def _add_set(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--set",
        metavar="SECTION.KEY=VALUE",
        dest="overrides",
        action="append",
        default=[],
        help=SET_HELP,
    )


def _add_runs(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--runs", metavar="DIR", type=Path, default=Path("runs"), help="folder of the runs [runs]"
    )


if __name__ == "__main__":
    sys.exit(main())
