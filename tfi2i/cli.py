"""The command line: a verb is parsed, done by its file in `tfi2i.commands`, and ends in a code.

Nothing here imports TensorFlow before it is needed: `--help` answers at once.
"""

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence

from tfi2i import __version__
from tfi2i.errors import InputError, is_out_of_memory
from tfi2i.terminal import import_tensorflow, printable, printing

# Files of `tfi2i.commands`, in the order of the help; `study` has two verbs.
COMMANDS = (
    *("list", "demo", "train", "translate", "sample", "evaluate", "export", "bench", "serve"),
    *("compare", "bench_train", "study", "check_data", "import_weights"),
)

ABOUT = """\
Image-to-image translation, from training to the phone: NICE-GAN, U-GAT-IT,
CycleGAN, CUT, FastCUT, SinCUT, Pix2Pix and BicycleGAN, one file a paper.

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
stopped by Ctrl-C, 143 by SIGTERM.
"""


def parser() -> argparse.ArgumentParser:
    """Returns the parser of every verb; `verb` of what it parses is the function that does it."""
    made = argparse.ArgumentParser(
        prog="tfi2i",
        description=ABOUT,
        epilog=START,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("--version", action="version", version=f"tfi2i {__version__}")
    made.set_defaults(verb=None)
    verbs = made.add_subparsers(title="verbs", metavar="VERB")
    for command in COMMANDS:
        importlib.import_module(f"tfi2i.commands.{command}").add(verbs)
    return made


@printing()
def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    arguments = parser().parse_args(argv)
    arguments.typed = list(sys.argv[1:] if argv is None else argv)
    log, handler = logging.getLogger("tfi2i"), _Terminal()
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    passes_on, log.propagate = log.propagate, False  # to absl's handler, which writes it once more
    try:
        return _run(arguments)
    finally:
        log.propagate = passes_on
        log.removeHandler(handler)
        log.setLevel(level)


class _Terminal(logging.Handler):
    """Writes to whatever stderr is at the moment: a progress bar puts its own in place of it."""

    def emit(self, record: logging.LogRecord) -> None:
        print(printable(self.format(record)), file=sys.stderr)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.verb is None:
        parser().print_help(sys.stderr)
        return 2
    try:
        import_tensorflow()
        code = arguments.verb(arguments)
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
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return _failed(f"the memory is not enough; {_less_memory(arguments)}.", 2)


def _less_memory(arguments: argparse.Namespace) -> str:
    """Advice where the memory is not enough, by the options that a verb has."""
    given = vars(arguments)
    if "tile" in given:
        return "choose smaller tiles, such as --tile 256"
    if "sizes" in given:
        return "choose smaller pictures by --sizes, or fewer by --images and --batch"
    if "config" in given:
        return (
            "choose smaller batches or pictures, such as --set batches.batch_size=1 or --set"
            " model.image_size=128, or --set model.dtype=mixed_bfloat16"
        )
    if "images" in given:
        return "measure fewer pictures by --images, and end other programs"
    return "choose fewer or smaller pictures, or end other programs"


def _failed(message: str, code: int) -> int:
    print(f"tfi2i: error: {printable(message)}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
