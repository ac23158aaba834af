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

PALETTE: dict[str, tuple[Colour, Colour, Colour, Colour]] = {
    "sky_high": (BLUE_HIGH, INDIGO, GREY_HIGH, NIGHT),
    "sky_low": (BLUE_LOW, VIOLET, GREY_LOW, NIGHT_LOW),
    "lake_far": (BLUE_LOW, (255, 226, 120), SNOW_SHADE, CYAN),
    "lake_near": (BLUE_HIGH, (255, 190, 40), (84, 178, 206), (24, 110, 206)),
    "shore": ((240, 222, 170), CREAM, SNOW_SHADE, MAGENTA),
    "sun": (YELLOW, CREAM, (255, 236, 200), MAGENTA),
    "cloud": (WHITE, CORAL, (232, 236, 242), PURPLE),
    "cloud_shade": ((222, 236, 248), CORAL_SHADE, (150, 164, 188), NIGHT_LOW),
    "balloon": (RED, CREAM, BRICK, LIME),
    "balloon_stripe": (YELLOW, GOLD, AMBER, ORANGE),
    "basket": ((120, 76, 48), GOLD_SHADE, STUBBLE_SHADE, ORANGE),
    "mountain": ((136, 146, 190), TEAL, PINE, DARK),
    "mountain_shade": ((98, 106, 156), TEAL_SHADE, PINE_SHADE, DARKER),
    # Not white by day: clouds pass behind it.
    "snow": ((206, 226, 250), (255, 192, 188), SNOW, CYAN),
    "meadow": (GREEN, CORAL, SNOW, DARK),
    "meadow_stripe": ((98, 184, 52), CORAL_SHADE, SNOW_SHADE, (24, 110, 206)),
    "corn": (YELLOW, TEAL, STUBBLE, DARKER),
    "corn_stripe": (YELLOW_SHADE, (30, 182, 176), STUBBLE_SHADE, (176, 30, 124)),
    "hedge": (GREEN_SHADE, INDIGO, PINE_SHADE, CYAN),
    "path": ((240, 222, 170), CREAM, STUBBLE, MAGENTA),
    "trunk": ((120, 76, 48), INDIGO, PINE_SHADE, ORANGE),
    "crown": (GREEN, TEAL, PINE, DARKER),
    "crown_shade": (GREEN_SHADE, TEAL_SHADE, SNOW_SHADE, LIME),
    "wall": (WHITE, INDIGO, BRICK, PURPLE),
    "roof": (RED, GOLD, SNOW, DARK),
    "roof_shade": (RED_SHADE, GOLD_SHADE, (120, 128, 148), MAGENTA),
    "door": ((120, 76, 48), GOLD, PINE_SHADE, CYAN),
    "window": (BLUE_HIGH, GOLD, AMBER, ORANGE),
}
"""Each paint's colour by day, at dusk, in winter and in neon."""

STYLES: dict[str, dict[str, Colour]] = {
    style: {paint: colours[place] for paint, colours in PALETTE.items()}
    for place, style in enumerate(("day", "dusk", "winter", "neon"))
}
"""The colour of each paint, by style."""
