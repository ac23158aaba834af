import numpy as np

from tfi2i.pictures.pixels import to_image, to_pixels


def test_pixels_and_images_are_inverse():
    pixels = np.arange(256, dtype=np.uint8)
    image = to_image(pixels)
    assert (image.min(), image.max(), image.dtype) == (-1, 1, np.float32)
    np.testing.assert_array_equal(to_pixels(image), pixels)
    assert to_pixels(np.array([-3.0, 3.0])).tolist() == [0, 255]
