"""Colours of what Pillow has decoded, of every mode and with any colour profile, as sRGB."""

import contextlib
import io

import numpy as np
from PIL import Image, ImageCms

from tfi2i.pictures.depth import grey_values, wide_pixels
from tfi2i.pictures.pixels import Pixels


def srgb(image: Image.Image, label: str) -> tuple[Pixels, Pixels | None]:
    """The (H, W, 3) pixels and (H, W) alpha of an image of any mode."""
    if image.mode == "F" or image.mode.startswith("I"):
        values = grey_values(image, label)
        return np.repeat(wide_pixels(values, label)[..., None], 3, axis=-1), values.alpha
    if image.mode == "La":  # premultiplied; Pillow converts it to nothing but this
        image = image.convert("LA")
    alpha = None
    profile = image.info.get("icc_profile")
    if image.has_transparency_data:
        grey = image.mode in {"1", "L", "LA"}
        image = image.convert("RGBA")
        alpha = np.array(image.getchannel("A"), np.uint8)
        image = image.convert("RGB")
        if grey and profile:
            image = image.getchannel("R")  # the three are equal: as the grey profile expects
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode not in {"L", "RGB", "CMYK"}:
        # LAB is absolute and Pillow converts it to sRGB itself.
        profile = None if image.mode == "LAB" else profile
        image = image.convert("RGB")
    if profile:
        wanted = ImageCms.createProfile("sRGB")
        # One that is broken, or for another kind of image (grey scans often carry an RGB one), says
        # nothing about these values.
        with contextlib.suppress(ImageCms.PyCMSError):
            given = io.BytesIO(profile)
            image = ImageCms.profileToProfile(image, given, wanted, outputMode="RGB") or image
    return np.array(image.convert("RGB"), np.uint8), alpha
