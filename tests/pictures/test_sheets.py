import numpy as np

from tfi2i.pictures.sheets import GAP, LABEL_WIDTH, grid, heat, scale_for


def test_heat_goes_from_blue_to_red_on_its_own_scale():
    maps = np.array([[[0.0, 1.0]], [[5.0, 9.0]]])
    colours = heat(maps, 2)
    assert colours.shape == (2, 2, 2, 3)
    for one in colours:
        assert one[0, 0, 2] > one[0, 0, 0]  # the lowest is blue
        assert one[0, 1, 0] > one[0, 1, 2]  # the highest is red
    assert heat(np.ones((1, 3, 3)), 4).min() >= 0  # a flat map divides by nothing


def test_a_grid_shows_every_image_where_it_belongs():
    rng = np.random.default_rng(0)
    above, below = rng.integers(0, 256, (2, 3, 5, 5, 3), np.uint8)
    sheet = grid([("above", above), ("below", below)], scale=2)
    step = 10 + GAP
    for row, images in enumerate((above, below)):
        for column, image in enumerate(images):
            top, left = GAP + row * step, LABEL_WIDTH + GAP + column * step
            shown = sheet[top : top + 10 : 2, left : left + 10 : 2]
            np.testing.assert_array_equal(shown, image)
    assert sheet[:, : LABEL_WIDTH - 8].min() < 128  # the labels


def test_small_images_are_enlarged_by_whole_numbers():
    assert [scale_for(side) for side in (32, 64, 100, 256)] == [4, 2, 1, 1]


def test_a_long_label_gets_the_room_it_needs():
    white = np.full((1, 8, 8, 3), 255, np.uint8)
    sheet = grid([("short", white), ("fake a domain of a long name, 3", white)])
    assert sheet.shape[1] > LABEL_WIDTH + 100
    assert sheet[:, -12:].min() == 255  # nothing of the label is under the picture
