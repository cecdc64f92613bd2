"""Pictures as bytes: look at an upload before it is believed, and render the sizes we serve.

Pure and blocking: callers run it in a thread. It never opens a file, and never passes on a byte of
an upload as it came: what is served was decoded and encoded anew, so no metadata survives.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCEPT = ("image/jpeg", "image/png", "image/webp")
"""What people may upload; also the types that `files.put` checks by content."""

FORMATS = ("JPEG", "PNG", "WEBP")

MAX_UPLOAD_MIB = 20
"""A 48-megapixel photograph of a phone is about 12 MiB."""

MAX_PIXELS = 50_000_000
"""Decoded, this is 150 MB of memory at once: the bound against decompression bombs."""

MIN_SIDE_PX = 16
"""Smaller pictures are tracking pixels and mistakes."""

MAX_RATIO = 20
"""A longer strip than this could not be shown as a picture."""

SIZES = {"small": 480, "large": 1440}
"""Longest side in pixels of each size that is served."""

JPEG_QUALITY = 84

SRGB = ImageCms.createProfile("sRGB")
ORIENTATION = 0x0112
LYING = {5, 6, 7, 8}
"""Values of the EXIF orientation at which width and height change places."""

BACKGROUND = (255, 255, 255)
"""What shows through where a picture was transparent: a JPEG has no alpha."""


class RefusedPictureError(ValueError):
    """An upload is not a picture that we take; its text is meant for the person who sent it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """What an upload is: its size in pixels when upright, `colour` its average as #rrggbb."""

    format: str
    width: int
    height: int
    colour: str


def inspect(content: bytes) -> Inspected:
    """Decode all of `content` cheaply. Raise RefusedPictureError when it is not a whole picture."""
    image = _open(content)
    width, height = image.size
    with _decoding():
        image.draft("RGB", (256, 256))  # a JPEG is then decoded at an eighth, yet read to its end
        image.load()
        if image.getexif().get(ORIENTATION, 1) in LYING:
            width, height = height, width
        flat = _flat(image).resize((1, 1), Image.Resampling.BOX)
    red, green, blue = flat.getpixel((0, 0))  # type: ignore[misc]  # RGB has three bands
    colour = f"#{red:02x}{green:02x}{blue:02x}"
    return Inspected(format=str(image.format), width=width, height=height, colour=colour)


def render(content: bytes) -> dict[str, bytes]:
    """Encode every size of SIZES as JPEG: upright, without metadata, never enlarged."""
    whole = _open(content)
    largest = max(SIZES.values())
    with _decoding():
        whole.draft("RGB", (largest, largest))
        image = _flat(_in_srgb(ImageOps.exif_transpose(whole)))
    rendered: dict[str, bytes] = {}
    for size, side in sorted(SIZES.items(), key=lambda each: -each[1]):
        image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
        image.info = {}  # comments and profiles would be written again
        target = BytesIO()
        image.save(target, "JPEG", quality=JPEG_QUALITY, progressive=side > SIZES["small"])
        rendered[size] = target.getvalue()
    return rendered


def _open(content: bytes) -> Image.Image:
    """Read the header only, and refuse what would be too large to decode."""
    if not content:
        raise RefusedPictureError("The file is empty.")
    if len(content) > MAX_UPLOAD_MIB * 1024 * 1024:
        raise RefusedPictureError(f"The file is larger than {MAX_UPLOAD_MIB} MiB.")
    with _decoding(), warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        image = Image.open(BytesIO(content), formats=FORMATS)
    _check_size(*image.size)
    return image


@contextmanager
def _decoding() -> Iterator[None]:
    """Say of whatever Pillow raises that the picture is at fault: damage can raise anything."""
    try:
        yield
    except (RefusedPictureError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise RefusedPictureError(_too_many_pixels()) from error
    except UnidentifiedImageError as error:
        raise RefusedPictureError(
            "This is not a JPEG, PNG or WebP picture, or it is damaged."
        ) from error
    except Exception as error:
        raise RefusedPictureError("The picture is cut off or damaged.") from error


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise RefusedPictureError(_too_many_pixels())
    if min(width, height) < MIN_SIDE_PX:
        raise RefusedPictureError(
            f"The picture is {width} × {height} pixels; each side needs at least {MIN_SIDE_PX}."  # noqa: RUF001
        )
    if max(width, height) > MAX_RATIO * min(width, height):
        raise RefusedPictureError(f"The picture is more than {MAX_RATIO} times longer than wide.")


def _too_many_pixels() -> str:
    return f"The picture has more than {MAX_PIXELS // 1_000_000} megapixels."


def _in_srgb(image: Image.Image) -> Image.Image:
    """The picture in the colours of the web: profiles of cameras are dropped with the metadata."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in {"RGB", "RGBA"}:
        return image
    with suppress(ImageCms.PyCMSError, OSError):  # a damaged profile is no reason to refuse
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        return ImageCms.profileToProfile(image, source, SRGB, outputMode=image.mode) or image
    return image


def _flat(image: Image.Image) -> Image.Image:
    """The picture as RGB, on BACKGROUND where it was transparent."""
    if image.mode == "RGB":
        return image
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        flat = Image.new("RGB", rgba.size, BACKGROUND)
        flat.paste(rgba, mask=rgba.getchannel("A"))
        return flat
    if image.mode in {"I;16", "I;16B", "I;16L", "I"}:
        image = image.point(lambda value: value / 256)  # 16 bits a pixel to 8
    return image.convert("RGB")
