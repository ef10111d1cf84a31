"""Picture files, by Pillow: any size and mode to pixels of one form; bad files and bombs to one clear error."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.data.images.dataset import Reading
from chainrule.data.images.pixels import BLOCK, Pixels
from chainrule.errors import ChainruleError, DataError, FileError

if TYPE_CHECKING:
    from PIL.Image import Image

# All that is ever decoded, whatever a file's name says; none of these starts another program, or takes all for its own.
COMMON = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
FORMATS = (*COMMON, "JPEG2000", "AVIF", "HEIF", "ICO", "PCX", "SGI", "SUN", "QOI", "DDS", "PSD", "XBM", "FITS")
SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
)
MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # by the number of channels
MOST_PIXELS = 64_000_000  # of one picture: 256 MB decoded, and twice that while it is converted
GREY = ("1", "L", "LA", "La", "I", "F")  # modes of one channel, and those that begin with I;
TURNED = (5, 6, 7, 8)  # EXIF orientations that lie on their side
ORIENTATION = 0x0112
# What decoders raise on bytes that are not what they should be.
DAMAGE = (OSError, SyntaxError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, EOFError)


class BadPictureError(DataError):
    """A file that is no picture, or a broken or far too large one: `--broken skip` leaves it out."""


@dataclass(frozen=True)
class Form:
    """Height, width and channels of a picture."""

    height: int
    width: int
    channels: int

    def __str__(self) -> str:
        return f"{self.height} x {self.width}"


def is_picture(path: Path) -> bool:
    """Whether the name of a file says so, or else how it begins."""
    return path.suffix.lower() in SUFFIXES or _begins_as_picture(path)


def _begins_as_picture(path: Path) -> bool:
    try:
        look(path)
    except (BadPictureError, FileError):  # no picture, or nobody can tell
        return False
    return True


def look(path: Path) -> Form:
    """The form of the picture in a file, from its header: as it is seen upright, with 1 (grey) or 3 channels (colour).

    Raises FileError when it cannot be read, BadPictureError when it is no picture, broken or too large.
    """
    with _opened(path) as image:
        width, height = image.size
        if image.getexif().get(ORIENTATION) in TURNED:
            width, height = height, width
        return Form(height, width, 1 if _is_grey(image.mode) else 3)


def read_picture(path: Path, form: Form, options: Reading) -> Pixels:
    """The pixels (h, w, c) of the picture in a file, in the form wanted.

    Colours become grey by 0.299 R + 0.587 G + 0.114 B, transparent pixels white, 16 bits 8. Another size is resized,
    averaging where it shrinks, or refused. Raises as `look` does, and DataError for a size that is refused.
    """
    with _opened(path) as image:
        pillow(path).ImageOps.exif_transpose(image, in_place=True)
        if not options.resize and image.size != (form.width, form.height):
            width, height = image.size
            raise DataError(
                f"{path}: is {Form(height, width, form.channels)} pixels, expected {form} (height x width): "
                f"{_resize_hint(form, options)}"
            )
        return _fit(str(path), image, form)


def conform(source: str, pixels: Pixels, form: Form, options: Reading) -> Pixels:
    """Images (n, h, w, c) in the form wanted, as `read_picture` would make them; DataError where that cannot be."""
    height, width, channels = pixels.shape[1:]
    if (height, width, channels) == (form.height, form.width, form.channels):
        return pixels
    own = Form(height, width, channels)
    if (height, width) != (form.height, form.width) and not options.resize:
        hint = _resize_hint(form, options)
        raise DataError(f"{source}: images of {own} pixels, expected {form} (height x width): {hint}")
    if channels not in MODES or form.channels not in MODES:
        raise DataError(f"{source}: images of {channels} channels, expected {form.channels}: convert them")
    Image = pillow(source).Image
    result = np.empty((len(pixels), form.height, form.width, form.channels), np.uint8)
    for i, array in enumerate(pixels):
        image = Image.fromarray(np.ascontiguousarray(array[..., 0] if channels == 1 else array))
        result[i] = _fit(source, image, form)
    return result


def pillow(source: Any) -> Any:
    """The package PIL; FileError that says how to get it."""
    try:
        import PIL.Image
        import PIL.ImageOps
    except ImportError:
        raise FileError(f"{source}: reading pictures needs Pillow: pip install Pillow") from None
    return PIL


def _resize_hint(form: Form, options: Reading) -> str:
    """The option that allows other sizes: one for the images of a trained network, another for training."""
    size = f"{form.height}" if form.height == form.width else f"{form.height}x{form.width}"
    return f"resize with {'--resize' if options.sized else f'--image-size {size}'}"


def _is_grey(mode: str) -> bool:
    return mode in GREY or mode.startswith("I;")


@contextmanager
def _opened(path: Path) -> Iterator[Image]:
    """A picture whose header has been read and is within the limits; whatever decoding raises becomes one error."""
    Image = pillow(path).Image
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damaged metadata, which does not matter here
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with path.open("rb") as file, Image.open(file, formats=_formats(Image)) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise BadPictureError(_too_large(path))
                yield image
        except ChainruleError:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise BadPictureError(_too_large(path)) from None
        except Image.UnidentifiedImageError:
            known = ", ".join(COMMON)
            raise BadPictureError(
                f"{path}: not a picture of a kind that is read here ({known} and some more): convert it"
            ) from None
        except (*DAMAGE, struct.error, RuntimeError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise FileError(f"{path}: cannot be read ({error.strerror}): check the name and its rights") from None
            raise BadPictureError(f"{path}: damaged or cut short ({error}): mend it, or take it away") from None


def _formats(Image: Any) -> list[str]:
    """Those of FORMATS that this Pillow knows."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _too_large(path: Path) -> str:
    return f"{path}: has more than {MOST_PIXELS:,} pixels, the most that are decoded: make it smaller"


def _fit(source: str, image: Image, form: Form) -> Pixels:
    """The pixels of an upright picture in the form wanted; made smaller first, so that copies of large ones are few."""
    Image = pillow(source).Image
    image = _eight_bits(source, image)
    transparent = image.has_transparency_data
    image = _in_mode(image, "RGBA" if transparent else "L" if _is_grey(image.mode) else "RGB")
    if image.size != (form.width, form.height):
        image = image.resize((form.width, form.height), Image.Resampling.BILINEAR)
    if transparent and form.channels != 4:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = _in_mode(image, MODES[form.channels])
    return np.asarray(image, np.uint8).reshape(form.height, form.width, form.channels)


def _in_mode(image: Image, mode: str) -> Image:
    """Pillow copies what has the mode already."""
    return image if image.mode == mode else image.convert(mode)


def _eight_bits(source: str, image: Image) -> Image:
    """A picture of 16-bit greys as one of 8 bits; others as they are."""
    if image.mode == "F":
        raise BadPictureError(f"{source}: holds fractions, whose range is unknown: save it with 8 or 16 bits")
    if image.mode != "I" and not image.mode.startswith("I;"):
        return image
    values = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise BadPictureError(f"{source}: holds greys from {low} to {high}, expected 0 to 65535: save it with 16 bits")
    scaled = np.empty(values.size, np.uint8)
    for start in range(0, values.size, BLOCK):
        part = values.reshape(-1)[start : start + BLOCK].astype(np.int32)
        scaled[start : start + BLOCK] = (part * 255 + 32767) // 65535
    result: Image = pillow(source).Image.fromarray(scaled.reshape(values.shape))
    return result
