"""A run of before directions and conditions were declared still loads: tests/fixtures/old_run."""

from pathlib import Path

import numpy as np

from tfi2i.conditions import A_TO_B
from tfi2i.models import CUT
from tfi2i.runs.run import Run

OLD = Path(__file__).parents[1] / "fixtures" / "old_run"


def test_an_old_run_is_what_it_was():
    run = Run(OLD)
    assert run.directions == A_TO_B
    assert run.conditions("a2b") == ()
    system = run.load_system()
    assert isinstance(system, CUT)
    assert system.step == system.total_steps == 4
    assert system.taps == ("conv0_pad", "down0", "block0")
    image = np.random.default_rng(0).uniform(-1, 1, (1, 32, 32, 3)).astype("float32")
    saved = np.asarray(run.network()(image))
    assert np.ptp(saved) > 0.05
    np.testing.assert_allclose(np.asarray(system.network()(image)), saved, atol=1e-5)


def test_an_old_checkpoint_goes_on():
    system = Run(OLD).load_system()
    images = np.random.default_rng(1).uniform(-1, 1, (2, 2, 32, 32, 3)).astype("float32")
    losses = system.train_step({"a": images[0], "b": images[1]})
    assert system.step == 5
    assert all(np.isfinite(float(value)) for value in losses.values())
