"""What can be typed on the command line; what a verb does stands in `tfi2i.commands`.

Verbs take paths and formats. The numbers of training stand in a configuration, so this list of
options does not grow with the systems.
"""

import argparse

from tfi2i import __version__
from tfi2i.arguments import measuring, training, using

ABOUT = """\
Image-to-image translation, from training to the phone: NICE-GAN, U-GAT-IT,
CycleGAN, CUT, FastCUT and SinCUT, one file a paper.

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


def parser() -> argparse.ArgumentParser:
    """The parser of every verb; `verb` of what it parses: `module.function` in `tfi2i.commands`."""
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
    training.add_list(verbs)
    training.add_demo(verbs)
    training.add_train(verbs)
    using.add_translate(verbs)
    measuring.add_evaluate(verbs)
    using.add_export(verbs)
    using.add_bench(verbs)
    using.add_serve(verbs)
    measuring.add_compare(verbs)
    measuring.add_study(verbs)
    measuring.add_study_results(verbs)
    training.add_check_data(verbs)
    training.add_import(verbs)
    return made
