"""What can be typed on the command line; what a verb does stands in `tfi2i.verbs`.

Verbs take paths and formats. The numbers of training stand in a configuration, so this list of
options does not grow with the systems.
"""

import argparse
from pathlib import Path

from tfi2i import __version__

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

CONFIG_HELP = "a YAML file, or the name of a shipped one such as nice_gan/scenes (see `tfi2i list`)"
SET_HELP = "one setting, in YAML, instead of the file's; may be given several times"


def parser() -> argparse.ArgumentParser:
    """The parser of every verb; `verb` of what it parses is `module.function` in `tfi2i.verbs`."""
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
    _add_list(verbs)
    _add_demo(verbs)
    _add_train(verbs)
    _add_translate(verbs)
    _add_evaluate(verbs)
    _add_export(verbs)
    _add_bench(verbs)
    _add_study(verbs)
    _add_study_results(verbs)
    _add_check_data(verbs)
    _add_import(verbs)
    return made


def _add(
    verbs, module: str, name: str, summary: str, about: str, examples: str
) -> argparse.ArgumentParser:
    """A verb with its description above the options and examples below them."""
    verb = verbs.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.\n\n{about}",
        epilog=f"Examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verb.set_defaults(verb=f"{module}.{name.replace('-', '_')}_verb")
    return verb


def _add_list(verbs) -> None:
    verb = _add(
        verbs,
        "training",
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
        "training",
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
        "training",
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
        "translation",
        "translate",
        "translate pictures of any size with a trained system",
        "Results keep the pictures' size, name and sub-folders. Big pictures are done in\n"
        "overlapping tiles. A picture that cannot be read is named, and the others are done.",
        "  tfi2i translate runs/00003-nicegan-horse2zebra photos/ --out zebras\n"
        "  tfi2i translate runs/00003-nicegan-horse2zebra zebra.png --out horses --direction b2a\n"
        "  tfi2i translate a2b.keras *.jpg --out out --tile 512\n"
        "  tfi2i translate zebra-int8.tflite photos/ --out zebras",
    )
    verb.add_argument(
        "model",
        metavar="RUN_OR_TRANSLATOR",
        type=Path,
        help="a run directory, a .keras file of a run's translators/ folder, or a .tflite file that"
        " was exported from a run",
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


def _add_evaluate(verbs) -> None:
    verb = _add(
        verbs,
        "evaluation",
        "evaluate",
        "measure a run on its test pictures: is it good, and which checkpoint?",
        "Prints KID and FID beside what they can be compared with: real pictures against real\n"
        "ones, and answers that learn nothing; errors where the truth is known. Writes\n"
        "evaluation/report.html and evaluation.json into the run, for the last and the best\n"
        "checkpoint. Needs no network.",
        "  tfi2i evaluate runs/00003-nicegan-horse2zebra\n"
        "  tfi2i evaluate runs/horse2zebra --set data.source=folders --set data.root=horse2zebra\n"
        "  tfi2i evaluate runs/00003-nicegan-horse2zebra --backbone inception-2015\n"
        "  tfi2i evaluate runs/00003-nicegan-horse2zebra --protocol nice-gan",
    )
    verb.add_argument("run", metavar="RUN", type=Path, help="a run directory")
    verb.add_argument(
        "--backbone",
        choices=("efficientnet-lite0", "inception-2015"),
        help="the network that sees the pictures: efficientnet-lite0 comes along; inception-2015 is"
        " that of published FIDs and is downloaded once [efficientnet-lite0]",
    )
    verb.add_argument(
        "--weights",
        metavar="FILE",
        type=Path,
        help="the backbone's weights, if they cannot be downloaded from here",
    )
    verb.add_argument(
        "--protocol",
        choices=("default", "nice-gan"),
        default="default",
        help="nice-gan: as the NICE-GAN authors' script resizes and averages, with inception-2015,"
        " to compare with published tables [default]",
    )
    verb.add_argument(
        "--images", metavar="N", type=int, help="at most so many test pictures a domain [all]"
    )
    verb.add_argument(
        "--train-images",
        metavar="N",
        type=int,
        default=2000,
        help="at most so many training pictures a domain, for the floor and to find copies [2000]",
    )
    _add_sample_seed(verb)
    _add_set(verb)


def _add_export(verbs) -> None:
    verb = _add(
        verbs,
        "exporting",
        "export",
        "make a small, fast .tflite file, or a SavedModel, that agrees with the run",
        "Rewrites the network without changing what it computes, quantizes it, and compares it\n"
        "with the run on held-out pictures: an artefact that does not keep what its format\n"
        "promises is not written. A sidecar, NAME.json, says all a program has to know.\n\n"
        "  int8       a quarter of the size, the fastest that looks the same; for CPUs [default]\n"
        "  int8-hq    a little slower and closer; int8-fast the other way round\n"
        "  int8-npu   fixed ranges, for accelerators that know nothing else; loses more\n"
        "  auto       as many int8 convolutions as --target-db allows\n"
        "  float16    half the size, for GPUs; float32: exact\n"
        "  saved_model  a folder for TensorFlow",
        "  tfi2i export runs/00003-nicegan-horse2zebra\n"
        "  tfi2i export runs/00003-nicegan-horse2zebra --direction b2a --format int8-hq\n"
        "  tfi2i export runs/00003-nicegan-horse2zebra --sizes 256,512 --io uint8 --to app/assets",
    )
    verb.add_argument("run", metavar="RUN", type=Path, help="a run directory")
    verb.add_argument("--format", metavar="F", default="int8", help="see above [int8]")
    verb.add_argument("--direction", choices=("a2b", "b2a"), default="a2b", help="[a2b]")
    verb.add_argument("--checkpoint", choices=("last", "best"), default="last", help="[last]")
    verb.add_argument(
        "--io",
        choices=("float", "uint8"),
        default="float",
        help="what the file takes and gives: RGB 0..255 as float32 or as uint8 [float]",
    )
    verb.add_argument(
        "--sizes", metavar="N,N", help="sides of square pictures, one signature each [the run's]"
    )
    verb.add_argument("--dynamic", action="store_true", help="any height and width")
    verb.add_argument(
        "--pad",
        choices=("slice", "mirror"),
        default="slice",
        help="padding as slices, which CPUs take whole, or as one operation for GPUs [slice]",
    )
    verb.add_argument(
        "--target-db", metavar="DB", type=float, default=43.0, help="PSNR for auto [43]"
    )
    verb.add_argument(
        "--images", metavar="N", type=int, default=24, help="held-out pictures to judge by [24]"
    )
    verb.add_argument(
        "--to", metavar="DIR", type=Path, help="folder for artefact and sidecar [RUN/exports]"
    )
    verb.add_argument("--accept", action="store_true", help="write it even if it misses its limits")
    verb.add_argument(
        "--force",
        action="store_true",
        help="also formats known to be bad: int8-full, int16x8, int4",
    )
    verb.add_argument(
        "--overwrite", action="store_true", help="replace an artefact of the same name"
    )
    _add_sample_seed(verb)
    _add_set(verb)


def _add_bench(verbs) -> None:
    verb = _add(
        verbs,
        "benchmark",
        "bench",
        "time exported .tflite files side by side on this machine",
        "Prints time, size and memory of each file beside its agreement with the run, and writes\n"
        "bench.json and a chart. Files in the exports/ folder of their run are also compared with\n"
        "what the converter makes of it without any rewriting.",
        "  tfi2i bench runs/00003-nicegan-horse2zebra/exports\n"
        "  tfi2i bench zebra-int8.tflite zebra-float32.tflite --threads 1 --runs 100\n"
        "  tfi2i bench zebra-int8.tflite --run runs/00003-nicegan-horse2zebra",
    )
    files = "a .tflite file, or a folder of them"
    verb.add_argument("artefacts", metavar="ARTEFACT", type=Path, nargs="+", help=files)
    verb.add_argument("--threads", metavar="N,N", default="1,2,4", help="of the CPU [1,2,4]")
    verb.add_argument("--runs", metavar="N", type=int, default=30, help="of each file [30]")
    verb.add_argument("--run", metavar="RUN", type=Path, help="what the files were exported from")
    size = "side of the pictures for files of any size [the run's]"
    verb.add_argument("--size", metavar="N", type=int, help=size)
    verb.add_argument("--out", metavar="DIR", type=Path, help="[the first file's folder]")


def _add_study(verbs) -> None:
    verb = _add(
        verbs,
        "evaluation",
        "study",
        "make a page that asks people which translations they prefer",
        "The page shows an input and its translations by two or more methods, shuffled and\n"
        "unnamed. It needs no server: participants open index.html, vote, and send back a file.",
        "  tfi2i study runs/00003-nicegan-horse2zebra runs/00004-nicegan-horse2zebra --out study\n"
        "  tfi2i study ours=runs/00003-nicegan-horse2zebra theirs=their_pictures/ --out study",
    )
    verb.add_argument(
        "methods",
        metavar="[NAME=]RUN",
        nargs="+",
        help="a run directory, or a folder of translations with the names of the test pictures;"
        " the first run's test pictures are shown",
    )
    verb.add_argument("--out", metavar="DIR", type=Path, required=True, help="a new folder")
    verb.add_argument("--direction", choices=("a2b", "b2a"), default="a2b", help="[a2b]")
    verb.add_argument(
        "--images", metavar="N", type=int, default=40, help="how many questions at most [40]"
    )
    verb.add_argument(
        "--question",
        default="Which translation is the best?",
        help="what participants are asked [Which translation is the best?]",
    )
    verb.add_argument(
        "--title", default="Which picture do you prefer?", help="of the page, seen by participants"
    )
    _add_sample_seed(verb)
    _add_set(verb)


def _add_study_results(verbs) -> None:
    verb = _add(
        verbs,
        "evaluation",
        "study-results",
        "count the votes of a study",
        "Prints the share of votes of each method with its 95 % confidence interval.",
        "  tfi2i study-results votes-*.json",
    )
    verb.add_argument(
        "votes", metavar="VOTES.json", type=Path, nargs="+", help="what participants sent back"
    )


def _add_check_data(verbs) -> None:
    verb = _add(
        verbs,
        "training",
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
        "training",
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


def _add_sample_seed(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--seed", type=int, default=0, help="of everything drawn at random [0]")


def _add_runs(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--runs", metavar="DIR", type=Path, default=Path("runs"), help="folder of the runs [runs]"
    )
