"""Paint pictures for the seed: landscapes, waves, bokeh and tiles out of a seed number.

Pure and blocking. Equal seeds give equal pictures.
"""

from __future__ import annotations

import colorsys
import math
from io import BytesIO
from random import Random
from typing import TYPE_CHECKING

from PIL import Image, ImageChops, ImageDraw, ImageFilter

if TYPE_CHECKING:
    from collections.abc import Callable

Colour = tuple[int, int, int]
SHAPES = ((800, 1000), (840, 840), (1000, 800), (990, 660), (750, 1000))
"""Portrait, square and landscape, as telephones take them."""


def paint(seed: int) -> bytes:
    """One picture as JPEG."""
    random = Random(seed)  # noqa: S311  # a brush, not a key
    size = random.choice(SHAPES)
    motif = random.choices(
        (_mountains, _sea, _bokeh, _tiles, _dunes, _planet), weights=(4, 3, 2, 2, 3, 2)
    )[0]
    image = motif(random, size)
    target = BytesIO()
    image.save(target, "JPEG", quality=86)
    return target.getvalue()


def _colour(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, min(saturation, 1.0), min(value, 1.0))
    return round(red * 255), round(green * 255), round(blue * 255)


def _gradient(size: tuple[int, int], top: Colour, bottom: Colour) -> Image.Image:
    ramp = Image.linear_gradient("L").resize(size)
    return Image.composite(Image.new("RGB", size, bottom), Image.new("RGB", size, top), ramp)


def _glow(image: Image.Image, centre: tuple[float, float], radius: float, colour: Colour) -> None:
    """Lighten a disc that fades outwards, in place."""
    side = max(2, round(radius * 2))
    light = ImageChops.invert(Image.radial_gradient("L")).resize((side, side))
    light = light.point(lambda value: max(0, value - 75) * 255 // 180)
    box = (round(centre[0] - radius), round(centre[1] - radius))
    layer = Image.new("L", image.size)
    layer.paste(light, box)
    image.paste(Image.new("RGB", image.size, colour), mask=layer)


def _ridge(
    random: Random, width: int, level: float, height: float, rough: float
) -> list[tuple[int, float]]:
    """The line of a range of hills across the picture, from three waves of chance."""
    waves = [
        (random.uniform(0.6, 1.8) * (3.1**n), random.uniform(0, math.tau), height * rough**n)
        for n in range(5)
    ]
    return [
        (x, level + sum(a * math.sin(f * x / width * math.tau + p) for f, p, a in waves))
        for x in range(0, width + 6, 6)
    ]


def _hills(
    random: Random, image: Image.Image, hue: float, start: float, rough: float
) -> Image.Image:
    """Layer after layer of hills, darker towards the viewer."""
    width, height = image.size
    layers = random.randint(4, 6)
    draw = ImageDraw.Draw(image)
    for n in range(layers):
        depth = n / (layers - 1)
        level = height * (start + (1.02 - start) * depth**1.2)
        line = _ridge(random, width, level, height * (0.045 + 0.02 * depth), rough)
        colour = _colour(hue + 0.04 * depth, 0.25 + 0.5 * depth, 0.72 - 0.56 * depth)
        draw.polygon([*line, (width + 6, height), (0, height)], fill=colour)
    return image


def _mountains(random: Random, size: tuple[int, int]) -> Image.Image:
    hue = random.choice((0.38, random.uniform(0.5, 0.95)))
    sky = _gradient(size, _colour(hue, 0.55, 0.62), _colour(hue + 0.45, 0.38, 1.0))
    sun = (size[0] * random.uniform(0.2, 0.8), size[1] * random.uniform(0.2, 0.42))
    _glow(sky, sun, size[0] * 0.42, _colour(hue + 0.5, 0.25, 1.0))
    _glow(sky, sun, size[0] * 0.13, (255, 250, 235))
    return _hills(random, sky, hue, 0.5, 0.52)


def _dunes(random: Random, size: tuple[int, int]) -> Image.Image:
    warm = random.uniform(0.02, 0.12)
    sky = _gradient(size, _colour(warm + 0.5, 0.5, 0.85), _colour(warm + 0.05, 0.25, 1.0))
    _glow(sky, (size[0] * random.random(), size[1] * 0.3), size[0] * 0.3, (255, 244, 214))
    width, height = size
    draw = ImageDraw.Draw(sky)
    for n in range(4):
        line = _ridge(random, width, height * (0.55 + 0.14 * n), height * 0.06, 0.16)
        colour = _colour(warm - 0.015 * n, 0.5 + 0.12 * n, 0.94 - 0.17 * n)
        draw.polygon([*line, (width + 6, height), (0, height)], fill=colour)
    return sky


def _sea(random: Random, size: tuple[int, int]) -> Image.Image:
    hue = random.uniform(0.48, 0.62)
    glow = random.choice((0.02, 0.06, 0.1, 0.92))
    width, height = size
    image = _gradient(size, _colour(hue, 0.5, 0.75), _colour(glow, 0.5, 1.0))
    horizon = round(height * random.uniform(0.42, 0.6))
    sun = (width * random.uniform(0.25, 0.75), horizon - height * 0.06)
    _glow(image, sun, width * 0.36, _colour(glow + 0.03, 0.3, 1.0))
    _glow(image, sun, width * 0.1, (255, 246, 226))
    water = _gradient((width, height - horizon), _colour(hue, 0.45, 0.7), _colour(hue, 0.8, 0.22))
    image.paste(water, (0, horizon))
    draw = ImageDraw.Draw(image, "RGBA")
    for _ in range(260):
        near = random.random() ** 1.6
        y = horizon + near * (height - horizon)
        reach = 10 + 120 * near
        x = sun[0] + random.gauss(0, width * (0.05 + 0.3 * near))
        shade = (*_colour(glow + 0.05, 0.3, 1.0), random.randint(40, 130))
        draw.line((x - reach, y, x + reach, y), fill=shade, width=1 + round(3 * near))
    return image


def _bokeh(random: Random, size: tuple[int, int]) -> Image.Image:
    hue = random.random()
    image = _gradient(size, _colour(hue, 0.8, 0.2), _colour(hue + 0.12, 0.7, 0.4))
    for blur in (9, 4, 1):
        layer = image.copy()
        draw = ImageDraw.Draw(layer, "RGBA")
        for _ in range(random.randint(9, 16)):
            radius = random.uniform(0.02, 0.1) * size[0]
            x, y = random.uniform(0, size[0]), random.uniform(0, size[1])
            fill = (*_colour(hue + random.uniform(-0.12, 0.2), 0.55, 1.0), random.randint(50, 130))
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
        image = layer.filter(ImageFilter.GaussianBlur(blur))
    return image


def _tiles(random: Random, size: tuple[int, int]) -> Image.Image:
    hue = random.random()
    image = Image.new("RGB", size, _colour(hue, 0.12, 0.95))
    draw = ImageDraw.Draw(image)
    side = size[0] // random.randint(4, 7)
    palette = [
        _colour(hue + shift, random.uniform(0.45, 0.8), random.uniform(0.45, 0.95))
        for shift in (0, 0.04, 0.09, 0.5, 0.55)
    ]
    for top in range(0, size[1], side):
        for left in range(0, size[0], side):
            box = (left, top, left + side, top + side)
            _tile(random, draw, box, random.choice(palette))
    return image


def _tile(
    random: Random, draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], colour: Colour
) -> None:
    left, top, right, bottom = box
    side = right - left
    kinds: tuple[Callable[[], None], ...] = (
        lambda: draw.rectangle(box, fill=colour),
        lambda: draw.pieslice(
            (left, top, right + side, bottom + side), start=180, end=270, fill=colour
        ),
        lambda: draw.pieslice((left - side, top - side, right, bottom), 0, 90, fill=colour),
        lambda: draw.ellipse(box, fill=colour),
        lambda: draw.polygon([(left, top), (right, top), (left, bottom)], fill=colour),
    )
    random.choice(kinds)()


def _planet(random: Random, size: tuple[int, int]) -> Image.Image:
    hue = random.random()
    image = _gradient(size, _colour(hue, 0.75, 0.1), _colour(hue + 0.1, 0.7, 0.28))
    draw = ImageDraw.Draw(image, "RGBA")
    for _ in range(220):
        x, y, r = random.uniform(0, size[0]), random.uniform(0, size[1]), random.uniform(0.4, 2)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(255, 255, 255, random.randint(70, 230)))
    centre = (size[0] * random.uniform(0.35, 0.65), size[1] * random.uniform(0.4, 0.65))
    radius = size[0] * random.uniform(0.2, 0.33)
    _glow(image, centre, radius * 1.9, _colour(hue + 0.45, 0.45, 0.75))
    side = round(radius * 2)
    ball = _gradient((side, side), _colour(hue + 0.5, 0.4, 1.0), _colour(hue + 0.4, 0.85, 0.3))
    mask = Image.new("L", (side * 2, side * 2))
    ImageDraw.Draw(mask).ellipse((0, 0, side * 2, side * 2), fill=255)
    box = (round(centre[0] - radius), round(centre[1] - radius))
    image.paste(ball, box, mask.resize((side, side), Image.Resampling.LANCZOS))
    return _hills(random, image, hue, 0.86, 0.4)
