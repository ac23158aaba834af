"""The colours of the embedded scenes: a day, a dusk poster, a winter and a city of neon.

Shortcuts lose on purpose: between any two styles, in both directions, a colour of one stands for
several of the other. The blue of a day's sky is indigo at dusk, and the same blue of a lake is
gold; a day's green is snow on a meadow and dark in a crown; black in neon is a roof or a field. A
colour that appears twice in one style and differs in another is what a network has to recognise
objects for.
"""

Colour = tuple[int, int, int]

BLUE_HIGH, BLUE_LOW = (52, 148, 246), (150, 214, 255)
GREEN, GREEN_SHADE = (112, 196, 58), (44, 122, 52)
YELLOW, YELLOW_SHADE = (255, 216, 76), (234, 180, 44)
RED, RED_SHADE = (232, 60, 48), (164, 30, 42)
WHITE = (255, 252, 244)
INDIGO, VIOLET = (40, 20, 98), (104, 30, 128)
CORAL, CORAL_SHADE = (255, 104, 98), (236, 78, 92)
GOLD, GOLD_SHADE = (255, 206, 66), (214, 132, 40)
TEAL, TEAL_SHADE = (44, 206, 190), (14, 128, 148)
CREAM = (255, 240, 206)

GREY_HIGH, GREY_LOW = (112, 132, 164), (190, 202, 218)
SNOW, SNOW_SHADE = (246, 250, 255), (196, 212, 234)
PINE, PINE_SHADE = (58, 92, 92), (26, 52, 60)
STUBBLE, STUBBLE_SHADE = (186, 160, 132), (150, 122, 98)
BRICK = (154, 62, 50)
AMBER = (255, 184, 84)

NIGHT, NIGHT_LOW = (8, 6, 24), (58, 12, 92)
DARK, DARKER = (30, 24, 66), (16, 12, 40)
MAGENTA, CYAN = (255, 44, 172), (34, 236, 255)
LIME, ORANGE, PURPLE = (166, 255, 64), (255, 138, 24), (128, 52, 232)

PALETTE: dict[str, tuple[Colour, Colour]] = {
    "sky_high": (BLUE_HIGH, INDIGO),
    "sky_low": (BLUE_LOW, VIOLET),
    "lake_far": (BLUE_LOW, (255, 226, 120)),
    "lake_near": (BLUE_HIGH, (255, 190, 40)),
    "shore": ((240, 222, 170), CREAM),
    "sun": (YELLOW, CREAM),
    "cloud": (WHITE, CORAL),
    "cloud_shade": ((222, 236, 248), CORAL_SHADE),
    "balloon": (RED, CREAM),
    "balloon_stripe": (YELLOW, GOLD),
    "basket": ((120, 76, 48), GOLD_SHADE),
    "mountain": ((136, 146, 190), TEAL),
    "mountain_shade": ((98, 106, 156), TEAL_SHADE),
    "snow": ((206, 226, 250), (255, 192, 188)),  # not white: clouds pass behind it
    "meadow": (GREEN, CORAL),
    "meadow_stripe": ((98, 184, 52), CORAL_SHADE),
    "corn": (YELLOW, TEAL),
    "corn_stripe": (YELLOW_SHADE, (30, 182, 176)),
    "hedge": (GREEN_SHADE, INDIGO),
    "path": ((240, 222, 170), CREAM),
    "trunk": ((120, 76, 48), INDIGO),
    "crown": (GREEN, TEAL),
    "crown_shade": (GREEN_SHADE, TEAL_SHADE),
    "wall": (WHITE, INDIGO),
    "roof": (RED, GOLD),
    "roof_shade": (RED_SHADE, GOLD_SHADE),
    "door": ((120, 76, 48), GOLD),
    "window": (BLUE_HIGH, GOLD),
}
"""Each paint's (colour by day, colour at dusk)."""

WINTER: dict[str, Colour] = {
    "sky_high": GREY_HIGH,
    "sky_low": GREY_LOW,
    "lake_far": SNOW_SHADE,
    "lake_near": (84, 178, 206),
    "shore": SNOW_SHADE,
    "sun": (255, 236, 200),
    "cloud": (232, 236, 242),
    "cloud_shade": (150, 164, 188),
    "balloon": BRICK,
    "balloon_stripe": AMBER,
    "basket": STUBBLE_SHADE,
    "mountain": PINE,
    "mountain_shade": PINE_SHADE,
    "snow": SNOW,
    "meadow": SNOW,
    "meadow_stripe": SNOW_SHADE,
    "corn": STUBBLE,
    "corn_stripe": STUBBLE_SHADE,
    "hedge": PINE_SHADE,
    "path": STUBBLE,
    "trunk": PINE_SHADE,
    "crown": PINE,
    "crown_shade": SNOW_SHADE,
    "wall": BRICK,
    "roof": SNOW,
    "roof_shade": (120, 128, 148),
    "door": PINE_SHADE,
    "window": AMBER,
}

NEON: dict[str, Colour] = {
    "sky_high": NIGHT,
    "sky_low": NIGHT_LOW,
    "lake_far": CYAN,
    "lake_near": (24, 110, 206),
    "shore": MAGENTA,
    "sun": MAGENTA,
    "cloud": PURPLE,
    "cloud_shade": NIGHT_LOW,
    "balloon": LIME,
    "balloon_stripe": ORANGE,
    "basket": ORANGE,
    "mountain": DARK,
    "mountain_shade": DARKER,
    "snow": CYAN,
    "meadow": DARK,
    "meadow_stripe": (24, 110, 206),
    "corn": DARKER,
    "corn_stripe": (176, 30, 124),
    "hedge": CYAN,
    "path": MAGENTA,
    "trunk": ORANGE,
    "crown": DARKER,
    "crown_shade": LIME,
    "wall": PURPLE,
    "roof": DARK,
    "roof_shade": MAGENTA,
    "door": CYAN,
    "window": ORANGE,
}

STYLES: dict[str, dict[str, Colour]] = {
    "day": {paint: day for paint, (day, _) in PALETTE.items()},
    "dusk": {paint: dusk for paint, (_, dusk) in PALETTE.items()},
    "winter": WINTER,
    "neon": NEON,
}
"""The colour of each paint, by style."""
