"""Nothing that a converter leaves behind disturbs the log."""

import logging
import sys

from tfi2i_export.tflite.interpreter import quiet


def test_what_is_printed_inside_is_dropped_and_the_log_goes_on(capfd):
    with quiet():
        print("chatter")
        logging.root.addHandler(logging.StreamHandler(sys.stderr))
    logging.getLogger("tfi2i").warning("heard")
    print("after")
    printed = capfd.readouterr()
    assert printed.out == "after\n"
    assert "Logging error" not in printed.err
    assert "chatter" not in printed.err
