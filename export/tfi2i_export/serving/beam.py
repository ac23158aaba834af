"""Translates many pictures by a Beam pipeline: `python -m tfi2i_export.serving.beam --help`.

    python -m tfi2i_export.serving.beam --model a2b-int8.tflite --input 'photos/**' --out zebras

The model is on a path that every worker can read; Beam does not copy it there. Pictures may be
wherever Beam's file systems reach. A run that was killed continues when it is started again.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfi2i.errors import InputError
from tfi2i.terminal import printable, printing

RUNNER = "FnApiRunner"
"""Without --runner. Beam's own choice, DirectRunner, first tries to download a program to run."""

EPILOGUE = """\
All other options are Beam's, such as --runner and --direct_num_workers. Outputs that are there
already are skipped, so a run that was stopped can be started again. Pictures that failed are listed
in DIR/failed.jsonl.

examples:
  python -m tfi2i_export.serving.beam --model a2b-int8.tflite --input photos --out zebras
  python -m tfi2i_export.serving.beam --model a2b-saved_model --input 'photos/**' --out zebras
      --direct_num_workers 4 --direct_running_mode multi_processing
"""

log = logging.getLogger("tfi2i")


@printing()
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the pipeline and returns an exit code: 0, or 2 if nothing could be translated."""
    arguments, rest = _parser().parse_known_args(argv)
    handler = logging.StreamHandler()
    # Under no name Beam only tells what else could be installed.
    handler.addFilter(lambda record: record.name != "root" or record.levelno >= logging.ERROR)
    logging.basicConfig(format="%(message)s", handlers=[handler])
    level = log.level
    log.setLevel(logging.INFO)
    try:
        return _translate(arguments, rest)
    except InputError as error:
        print(f"tfi2i: error: {printable(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("tfi2i: error: stopped.", file=sys.stderr)
        return 130
    finally:
        log.setLevel(level)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tfi2i_export.serving.beam",
        description="Translate a folder of pictures into another one by a Beam pipeline.",
        epilog=EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # what is not known whole is Beam's
    )
    parser.add_argument(
        "--model", metavar="MODEL", type=Path, required=True, help="a .tflite file, or a SavedModel"
    )
    parser.add_argument(
        "--input",
        metavar="PICTURES",
        nargs="+",
        required=True,
        help="a folder, or a quoted pattern such as 'photos/**'; ** goes into sub-folders",
    )
    parser.add_argument("--out", metavar="DIR", required=True, help="folder for the results")
    parser.add_argument(
        "--label",
        metavar="NAME",
        help="label of the translations, of a model that takes one, such as winter",
    )
    parser.add_argument(
        "--value",
        metavar="NAME=FILE",
        action="append",
        default=[],
        help="a .npy file with an input besides the picture, such as style=style.npy, or a picture"
        " where it is one; may be repeated",
    )
    parser.add_argument(
        "--reference",
        metavar="PICTURE",
        type=Path,
        help="a picture whose style the results get, where the model has an encoder beside it; or"
        " the second picture of a model that takes one",
    )
    parser.add_argument(
        "--seed", metavar="N", type=int, help="of inputs that are not given, such as a style [0]"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace results that are there already"
    )
    return parser


def _translate(arguments: argparse.Namespace, rest: list[str]) -> int:
    if len(arguments.input) > 1:
        raise InputError(
            f"--input is one folder or pattern, and there are {len(arguments.input)}; quote the"
            " pattern, so that the shell leaves it to Beam."
        )
    options = _options(rest)
    from apache_beam.io.filesystems import FileSystems

    from tfi2i_export.artefacts import inputs_of, picture_translator, ranges_of
    from tfi2i_export.inputs import from_options
    from tfi2i_export.serving import beam_pipeline

    FileSystems.set_options(options)  # which may hold the keys to where the pictures are
    wide = ranges_of(arguments.model).target
    values = from_options(
        *inputs_of(arguments.model),
        files=("--value", arguments.value),
        reference=arguments.reference,
        labels=arguments.label,
        seed=arguments.seed,
        unread=f"{arguments.model} has no encoder beside it; leave --reference out.",
        range_of=lambda domain: wide,
    )
    picture_translator(arguments.model, values=values)  # before a worker finds it damaged
    jobs = beam_pipeline.planned(arguments.input[0], arguments.out)
    _make_folder(arguments.out)
    counts = beam_pipeline.translate_all(
        jobs,
        str(arguments.model.absolute()),
        arguments.out,
        options,
        values=values,
        overwrite=arguments.overwrite,
    )
    failures = FileSystems.join(arguments.out, beam_pipeline.FAILURES)
    if not counts["translated"] and not counts["skipped"]:
        raise InputError(f"None of {len(jobs)} pictures could be translated; see {failures}.")
    see = f"; see {failures}" if counts["failed"] else ""
    log.info(
        f"Translated {counts['translated']} into {arguments.out}, {counts['skipped']} skipped,"
        f" {counts['failed']} failed{see}."
    )
    return 0


def _options(words: list[str]) -> Any:
    """Beam's options; refuses what Beam would drop with a warning."""
    try:
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise InputError("apache-beam is not installed: pip install 'tfi2i[beam]'.") from error
    known = PipelineOptions([]).get_all_options()
    given = PipelineOptions(words).get_all_options(retain_unknown_options=True)
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise InputError(f"There is no option --{unknown[0]}, here or in Beam; see --help.")
    if given["runner"] is None:
        words = [*words, f"--runner={RUNNER}"]
    return PipelineOptions(words)


def _make_folder(out: str) -> None:
    from apache_beam.io.filesystems import FileSystems

    if Path(out).is_file():
        raise InputError(f"The output folder {out} is a file; name a folder.")
    try:
        if not FileSystems.exists(out):
            FileSystems.mkdirs(out)
    except (OSError, ValueError) as error:
        raise InputError(f"The output folder {out} cannot be made ({error}).") from error


if __name__ == "__main__":
    sys.exit(main())
