import concurrent.futures
import gc
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tfi2i_export.saved_model.server_session import (
    Request,
    Session,
    SessionError,
    answers_in_child,
)

from tfi2i.errors import InputError

INVALID_ARGUMENT, DEADLINE_EXCEEDED, FAILED_PRECONDITION = 3, 4, 9
UNIMPLEMENTED, UNAVAILABLE = 12, 14

ONE = {"x": np.ones(2, np.float32)}
TEXT = (tf.string, "text")


def archived(folder, **endpoints):
    """A SavedModel: (function, *(type, name) of each (N,) input) for each signature."""
    archive = keras.export.ExportArchive()
    for name, (function, *inputs) in endpoints.items():
        specs = [
            one if isinstance(one, tf.TensorSpec) else tf.TensorSpec((None,), one[0], name=one[1])
            for one in inputs
        ]
        archive.add_endpoint(name, function, specs)
    archive.write_out(folder, verbose=False)
    return folder


def in_python(x):
    return {"y": tf.numpy_function(lambda value: value + 1, [x], tf.float32)}


def aborting(x):
    with tf.control_dependencies([tf.raw_ops.Abort(error_msg="out of cheese")]):
        return {"y": tf.identity(x)}


def endless(x):
    return {"y": tf.while_loop(lambda y: tf.constant(True), lambda y: (y,), (x,))[0]}


@pytest.fixture(scope="module")
def tensors(tmp_path_factory):
    """A convolution, and signatures of every type of data."""
    keras.utils.set_random_seed(1)
    network = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(3, 3)])
    image = tf.TensorSpec((None, None, None, 3), name="image")
    numbers = [tf.TensorSpec((), tf.int32, name="one"), tf.TensorSpec((None, 2), tf.int64, "pairs")]
    return archived(
        tmp_path_factory.mktemp("saved_models") / "tensors",
        serving_default=(lambda image: {"translation": network(image)}, image),
        texts=(lambda text: {"same": text, "twice": tf.strings.join([text, text])}, TEXT),
        numbers=(
            lambda levels, one, pairs: {"levels": levels, "one": one + 1, "pairs": 2 * pairs},
            *((tf.uint8, "levels"), *numbers),
        ),
        sizes=(
            lambda text: {"sizes": tf.map_fn(size, text, fn_output_signature=tf.int32)},
            TEXT,
        ),
        halves=(lambda x: {"y": x}, (tf.float16, "x")),
        one_text=(lambda text: {"first": text[0]}, TEXT),
    )


def size(file):
    return tf.shape(tf.io.decode_image(file, 3, expand_animations=False))


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    """A SavedModel that can do nothing well but `fine`."""
    x = (tf.float32, "x")
    return archived(
        tmp_path_factory.mktemp("saved_models") / "bad",
        fine=(lambda x: {"y": x + 1}, x),
        python=(in_python, x),
        abort=(aborting, x),
        endless=(endless, x),
    )


@pytest.fixture(scope="module")
def session(tensors):
    return Session(tensors)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).uniform(0, 255, (2, 9, 11, 3)).astype(np.float32)


def error(answer):
    assert not answer.outputs
    return answer.error.code, answer.error.message


def failure(session, signature, inputs):
    with pytest.raises(SessionError) as raised:
        session.run(signature, inputs)
    return raised.value.code, raised.value.message


# In this process.


def test_tensors_are_those_of_tensorflow(session, tensors, image):
    loaded = tf.saved_model.load(tensors).signatures["serving_default"]
    expected = loaded(image=tf.constant(image))["translation"].numpy()
    answer = session.run("serving_default", {"image": image})
    assert list(answer) == ["translation"]
    np.testing.assert_array_equal(answer["translation"], expected)


def test_no_name_is_the_default_signature(session, image):
    named = session.run("serving_default", {"image": image})["translation"]
    np.testing.assert_array_equal(session.run("", {"image": image})["translation"], named)


def test_strings_go_through_whole(session):
    texts = [b"", b"nul \0 within", b"s" * 22, b"s" * 23, b"\xff" * 100_000]
    answer = session.run("texts", {"text": texts})
    assert answer == {"same": texts, "twice": [2 * text for text in texts]}
    assert session.run("texts", {"text": []}) == {"same": [], "twice": []}


@pytest.mark.parametrize("order", ["<", ">"])
def test_numbers_keep_their_types_and_shapes(session, order):
    inputs = {
        "levels": np.arange(20, dtype=np.uint8)[::-3],
        "one": np.array(4, f"{order}i4"),
        "pairs": np.arange(4, dtype=f"{order}i8").reshape(2, 2).T,
    }
    answer = session.run("numbers", inputs)
    expected = {"levels": inputs["levels"], "one": 5, "pairs": [[0, 4], [2, 6]]}
    for name, value in expected.items():
        np.testing.assert_array_equal(answer[name], value)
        assert answer[name].dtype == inputs[name].dtype.newbyteorder("=")
        assert answer[name].shape == inputs[name].shape


def test_no_numbers_are_numbers_too(session):
    inputs = {"levels": np.empty(0, np.uint8), "one": np.array(1, np.int32)}
    answer = session.run("numbers", inputs | {"pairs": np.empty((0, 2), np.int64)})
    assert answer["levels"].shape == (0,)
    assert answer["pairs"].shape == (0, 2)


def test_an_unknown_signature_is_a_failed_precondition(session):
    code, message = failure(session, "predict", {})
    assert code == FAILED_PRECONDITION
    assert "'predict'; there is halves, numbers" in message


def test_inputs_must_be_those_of_the_signature(session, image):
    code, message = failure(session, "", {"picture": image})
    assert code == INVALID_ARGUMENT
    assert "missing: image; unknown: 'picture'" in message
    assert failure(session, "", {"image": image, "more": image})[0] == INVALID_ARGUMENT
    assert failure(session, "", {}) == (
        INVALID_ARGUMENT,
        "The inputs are not those of the signature; missing: image; unknown: none.",
    )


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (np.zeros((1, 9, 9, 3)), "float64"),
        (np.zeros((1, 9, 9, 3), np.uint8), "uint8"),
        ([b"text"], "string"),
        (["text"], "no list of bytes"),
        (1.0, "float"),
    ],
)
def test_another_type_is_an_invalid_argument(session, value, name):
    assert failure(session, "", {"image": value}) == (
        INVALID_ARGUMENT,
        f"image is {name}, not float32.",
    )


def test_types_that_are_not_known_here_are_named(session):
    code, message = failure(session, "halves", {"x": np.ones(2, np.float16)})
    assert code == UNIMPLEMENTED
    assert "x is half; here tensors are float32, " in message


def test_strings_of_another_rank_are_refused(session):
    code, message = failure(session, "one_text", {"text": [b"a"]})
    assert (code, message) == (UNIMPLEMENTED, "An output has strings of shape (), not (n,).")


def test_junk_for_a_picture_is_an_invalid_argument(session):
    picture = tf.io.encode_png(np.zeros((3, 4, 3), np.uint8)).numpy()
    assert session.run("sizes", {"text": [picture]})["sizes"].tolist() == [[3, 4, 3]]
    for junk in (b"", b"not a picture", picture[:40]):
        assert failure(session, "sizes", {"text": [picture, junk]})[0] == INVALID_ARGUMENT


def test_several_threads_get_their_own_answers(session):
    def asked(i):
        texts = [bytes([i]) * (1000 + i)] * 3
        return session.run("texts", {"text": texts})["same"] == texts

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(asked, [i % 256 for i in range(400)]))


def resident_mb():
    gc.collect()
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmRSS"].split()[0]) / 1000


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read as on Linux")
def test_runs_and_failures_give_their_memory_back(session):
    large = np.ones((1, 300, 300, 3), np.float32)  # 1 MB
    text = [b"x" * 1_000_000]

    def run():
        session.run("", {"image": large})
        session.run("texts", {"text": text})
        failure(session, "", {"image": large[..., :2]})
        failure(session, "sizes", {"text": text})

    for _ in range(20):
        run()
    before = resident_mb()
    for _ in range(300):
        run()
    assert resident_mb() - before < 20


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read as on Linux")
def test_a_session_that_nobody_holds_gives_its_memory_back(tmp_path):
    weights = keras.layers.Dense(1000)
    weights.build((None, 2000))  # 8 MB
    image = tf.TensorSpec((None, 2000), name="x")
    folder = archived(tmp_path / "dense", serving_default=(lambda x: {"y": weights(x)}, image))
    x = {"x": np.ones((1, 2000), np.float32)}
    for _ in range(5):
        Session(folder).run("", x)
    before = resident_mb()
    for _ in range(20):
        Session(folder).run("", x)
    assert resident_mb() - before < 60


def test_a_folder_that_cannot_be_loaded_says_why(tensors, tmp_path):
    with pytest.raises(InputError, match="holds no saved_model.pb"):
        Session(tmp_path)
    copy = shutil.copytree(tensors, tmp_path / "copy")
    next(copy.glob("variables/variables.data-*")).unlink()
    with pytest.raises(SessionError, match="variables.data"):
        Session(copy)


def test_tables_are_filled_from_assets_before_the_first_request(tmp_path):
    """By an operation that a server runs after loading."""
    words = tmp_path / "words.txt"
    words.write_text("cat\ndog\n", encoding="utf-8")
    model = tf.Module()
    model.words = tf.saved_model.Asset(str(words))
    model.table = tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(
            *(model.words, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE),
            *(tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER),
        ),
        -1,
    )
    model.find = tf.function(
        lambda text: {"line": model.table.lookup(text)},
        input_signature=[tf.TensorSpec((None,), tf.string, name="text")],
    )
    folder = tmp_path / "1"
    tf.saved_model.save(model, str(folder), signatures={"serving_default": model.find})
    words.unlink()
    answer = Session(folder).run("", {"text": [b"dog", b"cow", b"cat"]})
    assert answer["line"].tolist() == [1, -1, 0]


def test_without_variables_a_model_is_loaded_and_fails_when_it_is_asked(tensors, tmp_path, image):
    copy = shutil.copytree(tensors, tmp_path / "copy")
    shutil.rmtree(copy / "variables")
    session = Session(copy)
    assert session.run("texts", {"text": []}) == {"same": [], "twice": []}
    assert failure(session, "", {"image": image})[0] == FAILED_PRECONDITION


# In a process of its own.


def test_another_process_answers_the_same_in_order(session, tensors, image):
    texts = [b"", b"nul \0 within", b"x" * 100_000, b""]
    asked = [
        ("texts", {"text": texts}),
        ("", {"image": image}),
        ("nowhere", {}),
        ("", {"image": image[..., :2]}),
        ("texts", {"text": []}),
        ("sizes", {"text": [b"not a picture"]}),
    ]
    answers = answers_in_child(tensors, [Request(*one) for one in asked])
    assert answers[0].outputs == {"same": texts, "twice": [2 * text for text in texts]}
    expected = session.run("", {"image": image})["translation"]
    np.testing.assert_array_equal(answers[1].outputs["translation"], expected)
    assert error(answers[2])[0] == FAILED_PRECONDITION
    assert error(answers[3])[0] == INVALID_ARGUMENT
    assert "input depth" in error(answers[3])[1]
    assert answers[4].outputs == {"same": [], "twice": []}
    assert error(answers[5])[0] == INVALID_ARGUMENT
    assert [answer.error is None for answer in answers] == [True, True, False, False, True, False]


def test_python_fails_and_what_follows_is_answered(bad):
    python, fine = answers_in_child(bad, [Request(name, ONE) for name in ("python", "fine")])
    assert "PyFunc" in error(python)[1]
    assert fine.outputs["y"].tolist() == [2, 2]


def test_a_crash_is_told_and_what_was_answered_before_is_kept(bad):
    fine, *crashed = answers_in_child(
        bad, [Request(name, ONE) for name in ("fine", "abort", "fine")]
    )
    assert fine.outputs["y"].tolist() == [2, 2]
    for answer in crashed:
        code, message = error(answer)
        assert code == UNAVAILABLE
        assert message.startswith("The process crashed (Aborted, signal 6): ")
        assert "out of cheese" in message


def test_the_time_is_bounded(bad):
    answers_in_child(bad, [])  # so that the process is there
    endless = answers_in_child(bad, [Request("endless", ONE)], timeout_seconds=3)
    assert error(endless[0]) == (DEADLINE_EXCEEDED, "There is no answer in 3 s.")
    with pytest.raises(InputError, match="bad cannot be loaded .*: There is no answer in 0.01 s"):
        answers_in_child(bad, [], timeout_seconds=0.01)


def test_what_cannot_be_loaded_is_refused_in_a_sentence(tensors, tmp_path):
    copy = shutil.copytree(tensors, tmp_path / "copy")
    next(copy.glob("variables/variables.data-*")).unlink()
    with pytest.raises(InputError, match="copy cannot be loaded as a server does it: .*variables"):
        answers_in_child(copy, [])
    (copy / "saved_model.pb").write_bytes((copy / "saved_model.pb").read_bytes()[:-100])
    with pytest.raises(InputError, match="saved_model.pb is damaged"):
        answers_in_child(copy, [])
    with pytest.raises(InputError, match="saved_model.pb is damaged"):
        Session(copy)
    with pytest.raises(InputError, match="nowhere is not there"):
        answers_in_child(tmp_path / "nowhere", [])
