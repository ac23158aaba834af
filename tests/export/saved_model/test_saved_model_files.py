import os

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tfi2i_export.saved_model.files import LARGEST, read, signatures, versions

from tfi2i.errors import InputError


def saved_model(**names_of_inputs):
    """A SavedModel with a graph of the tag "serve", a signature for each keyword."""
    model = saved_model_pb2.SavedModel(saved_model_schema_version=1)
    graph = model.meta_graphs.add()
    graph.meta_info_def.tags.append("serve")
    for name, alias in names_of_inputs.items():
        graph.signature_def[name].inputs[alias].name = "x:0"
    return model


def written(folder, model):
    folder.mkdir(parents=True, exist_ok=True)
    folder.joinpath("saved_model.pb").write_bytes(model.SerializeToString())
    return folder


def test_signatures_are_those_of_the_graph_for_servers(tmp_path):
    model = saved_model(serving_default="image", predict_tensor="image")
    training = model.meta_graphs.add()
    training.meta_info_def.tags.extend(["serve", "train"])
    training.signature_def["other"].inputs["x"].name = "x:0"
    found = signatures(written(tmp_path, model))
    assert list(found) == ["predict_tensor", "serving_default"]
    assert found["predict_tensor"].inputs["image"].name == "x:0"


def test_what_tensorflow_runs_by_itself_is_no_signature(tmp_path):
    module = tf.Module()
    module.double = tf.function(
        lambda x: {"y": 2 * x}, input_signature=[tf.TensorSpec((None,), name="x")]
    )
    tf.saved_model.save(module, tmp_path, signatures={"serving_default": module.double})
    graph = read(tmp_path).meta_graphs[0]
    assert "__saved_model_init_op" in graph.signature_def
    assert list(signatures(tmp_path)) == ["serving_default"]


def test_a_model_without_a_graph_for_servers_is_refused(tmp_path):
    model = saved_model(serving_default="image")
    model.meta_graphs[0].meta_info_def.tags[:] = ["train"]
    with pytest.raises(InputError, match="has no graph tagged 'serve' but 'train'"):
        signatures(written(tmp_path, model))


@pytest.mark.parametrize("kept", [0, 1, 20, -1])
def test_a_truncated_file_is_refused(tmp_path, kept):
    path = written(tmp_path, saved_model(serving_default="image")) / "saved_model.pb"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match="saved_model.pb is damaged.* copy the folder again"):
        read(tmp_path)


def test_junk_is_refused(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(os.urandom(1000) + b"\xff" * 20)
    with pytest.raises(InputError, match="is damaged"):
        read(tmp_path)


def test_a_file_too_large_is_refused_unread(tmp_path):
    path = written(tmp_path, saved_model(serving_default="image")) / "saved_model.pb"
    os.truncate(path, LARGEST + 1)
    with pytest.raises(InputError, match="has over 67,108,864 bytes"):
        read(tmp_path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "saved_model.pb")
    with pytest.raises(InputError, match="is not a file"):
        read(tmp_path)


def test_what_is_no_saved_model_is_refused_with_what_to_give(tmp_path):
    model = saved_model(serving_default="image")
    written(tmp_path / "base" / "9", model)
    written(tmp_path / "base" / "10", model)
    file = tmp_path / "file"
    file.touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="nowhere is not there; give the folder"):
        read(tmp_path / "nowhere")
    with pytest.raises(InputError, match="file is a file; give the folder"):
        read(file)
    with pytest.raises(InputError, match="empty holds no saved_model.pb"):
        read(tmp_path / "empty")
    with pytest.raises(InputError, match="holds versions .* such as .*base/10"):
        read(tmp_path / "base")


def test_versions_are_in_the_order_of_their_numbers(tmp_path):
    for name in ("10", "9", "0", "007"):
        (tmp_path / name).mkdir()
    (tmp_path / "11").symlink_to(tmp_path / "9", target_is_directory=True)
    assert [path.name for path in versions(tmp_path)] == ["0", "007", "9", "10", "11"]


def test_only_whole_numbers_that_a_server_reads_are_versions(tmp_path):
    names = (".tmp-3", "v1", "1_0", "1.5", "+5", "-6", "٣", str(2**63), "1" * 30)
    for name in names:
        (tmp_path / name).mkdir()
    (tmp_path / "12").touch()
    (tmp_path / str(2**63 - 1)).mkdir()
    assert versions(tmp_path) == [tmp_path / str(2**63 - 1)]


def test_of_two_names_of_one_number_the_server_loads_the_last(tmp_path):
    (tmp_path / "7").mkdir()
    (tmp_path / "007").mkdir()
    assert versions(tmp_path) == [tmp_path / "7"]


def test_no_folder_has_no_versions(tmp_path):
    (tmp_path / "file").touch()
    assert versions(tmp_path / "nowhere") == versions(tmp_path / "file") == []
