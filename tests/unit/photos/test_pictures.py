"""What an upload may be, and what is made of it."""

import struct
import zlib
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from photos import paint, pictures

ORIENTATION = 0x0112
GPS = 0x8825


def encoded(image: Image.Image, kind: str = "JPEG", **options) -> bytes:
    target = BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def opened(content: bytes) -> Image.Image:
    return Image.open(BytesIO(content))


@pytest.fixture(scope="module")
def painted() -> bytes:
    return paint.paint(7)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_picture_of_each_accepted_kind_is_taken(kind):
    inspected = pictures.inspect(encoded(Image.new("RGB", (300, 200), (200, 10, 10)), kind))
    assert (inspected.format, inspected.width, inspected.height) == (kind, 300, 200)
    red, green, blue = bytes.fromhex(inspected.colour[1:])
    assert abs(red - 200) < 6
    assert max(green, blue) < 20


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF"])
def test_a_picture_of_another_kind_is_refused_in_clear_words(kind):
    with pytest.raises(pictures.RefusedPictureError, match="not a JPEG, PNG or WebP picture"):
        pictures.inspect(encoded(Image.new("RGB", (300, 200)), kind))


@pytest.mark.parametrize(
    "content",
    [b"not a picture", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS-Adobe-3.0", b"\0" * 99],
    ids=["text", "svg", "postscript", "zeros"],
)
def test_what_is_no_picture_is_refused(content):
    with pytest.raises(pictures.RefusedPictureError, match="not a JPEG, PNG or WebP"):
        pictures.inspect(content)


def test_an_empty_file_is_refused():
    with pytest.raises(pictures.RefusedPictureError, match="empty"):
        pictures.inspect(b"")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_picture_that_was_cut_off_is_refused(kind, painted):
    whole = encoded(opened(painted), kind)
    with pytest.raises(pictures.RefusedPictureError, match=r"cut off or damaged|damaged"):
        pictures.inspect(whole[: len(whole) * 2 // 3])


def test_a_file_over_the_bound_is_refused_before_it_is_decoded():
    with pytest.raises(pictures.RefusedPictureError, match="larger than 20 MiB"):
        pictures.inspect(b"\xff\xd8\xff" + b"\0" * (pictures.MAX_UPLOAD_MIB * 1024 * 1024))


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be that wide and high."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [8_000, 30_000, 2**31 - 1])
def test_a_decompression_bomb_is_refused_by_its_header(side):
    with pytest.raises(pictures.RefusedPictureError, match="megapixels"):
        pictures.inspect(bomb(side, side))


@pytest.mark.parametrize(("size", "words"), [((8, 300), "at least 16"), ((20, 900), "20 times")])
def test_a_picture_that_cannot_be_shown_is_refused(size, words):
    with pytest.raises(pictures.RefusedPictureError, match=words):
        pictures.inspect(encoded(Image.new("RGB", size)))


def test_what_is_served_carries_neither_place_nor_camera():
    image = Image.new("RGB", (640, 480), (10, 200, 10))
    exif = image.getexif()
    exif[0x010F] = "Secret Camera"
    exif.get_ifd(GPS)[2] = (48.0, 51.0, 29.0)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    content = encoded(image, exif=exif, comment=b"my home", icc_profile=profile)
    assert b"Secret Camera" in content
    for rendered in pictures.render(content).values():
        assert b"Secret Camera" not in rendered
        assert b"my home" not in rendered
        assert not opened(rendered).getexif()
        assert "icc_profile" not in opened(rendered).info
        assert opened(rendered).getpixel((9, 9))[1] > 190


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_picture_lying_on_its_side_is_put_upright(orientation):
    image = Image.new("RGB", (600, 300), (0, 0, 255))
    image.paste((255, 0, 0), (0, 0, 300, 300))
    exif = image.getexif()
    exif[ORIENTATION] = orientation
    content = encoded(image, exif=exif, quality=95)
    inspected = pictures.inspect(content)
    upright = opened(pictures.render(content)["large"])
    assert (inspected.width, inspected.height) == upright.size
    assert upright.size == ((600, 300) if orientation == 3 else (300, 600))
    red = {3: (450, 150), 6: (150, 150), 8: (150, 450)}[orientation]
    assert upright.getpixel(red)[0] > 200


def test_a_transparent_picture_is_shown_on_white():
    flat = opened(
        pictures.render(encoded(Image.new("RGBA", (64, 64), (0, 0, 0, 0)), "PNG"))["small"]
    )
    assert min(flat.getpixel((32, 32))) > 250


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_every_mode_of_a_png_can_be_rendered(mode):
    sizes = pictures.render(encoded(Image.new(mode, (80, 60)), "PNG"))
    assert {opened(each).mode for each in sizes.values()} == {"RGB"}


def test_sizes_are_bounded_and_never_enlarged(painted):
    small = pictures.render(encoded(Image.new("RGB", (200, 100))))
    assert opened(small["large"]).size == (200, 100)
    large = pictures.render(encoded(Image.new("RGB", (4000, 3000))))
    assert {size: max(opened(each).size) for size, each in large.items()} == pictures.SIZES


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_damage_to_a_file_gets_anything_but_a_picture_or_a_refusal(data):
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "WEBP"]))
    content = bytearray(encoded(Image.new("RGB", (64, 48), (9, 99, 199)), kind))
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    for look in (pictures.inspect, pictures.render):
        try:
            look(bytes(content))
        except pictures.RefusedPictureError as error:
            assert str(error).endswith(".")  # noqa: PT017  # both ends are good
