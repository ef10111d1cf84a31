"""Picture files, read with Pillow: any size and mode to pixels of one form; bad files and bombs raise a clear error."""

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
from chainrule.data.images.pixels import WIDEN, Pixels, check_finite
from chainrule.errors import ChainruleError, DataError, FileError
from chainrule.files import failure, open_regular

if TYPE_CHECKING:
    from PIL.Image import Image

# All formats that are decoded, whatever a file's name says; none starts another program or accepts every file.
COMMON = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
FORMATS = (*COMMON, "JPEG2000", "AVIF", "HEIF", "ICO", "PCX", "SGI", "SUN", "QOI", "DDS", "PSD", "XBM", "FITS")
SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
)
TEXTS = (".txt", ".csv", ".tsv", ".json", ".xml", ".yaml", ".yml", ".md", ".html")  # never opened
MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # by the number of channels
MOST_PIXELS = 64_000_000  # per picture: 256 MB decoded, and twice that during conversion
GREY = ("1", "L", "LA", "La", "I", "F")  # modes with one channel, and those that begin with I;
GREY_WEIGHTS = np.array([0.299, 0.587, 0.114])  # of red, green and blue
TURNED = (5, 6, 7, 8)  # EXIF orientations that swap width and height
ORIENTATION = 0x0112
# What decoders raise on invalid bytes.
DAMAGE = (OSError, SyntaxError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, EOFError)


class BadPictureError(DataError):
    """A file that is not a picture, or a broken or far too large one: broken="skip" skips it."""


@dataclass(frozen=True)
class Form:
    """Height, width and channels of a picture, and the dtype of its values."""

    height: int
    width: int
    channels: int
    dtype: str = "uint8"

    def __str__(self) -> str:
        return f"{self.height} x {self.width}"


@dataclass(frozen=True)
class Look:
    """What the header of a picture says."""

    form: Form
    cut: bool = False  # it has 16 bits per color, of which 8 are read
    frames: bool = False  # it has more frames than the one that is read


def is_picture(path: Path) -> bool:
    """Whether a file is a picture, by its name or by how it begins."""
    suffix = path.suffix.lower()
    return suffix in SUFFIXES or (suffix not in TEXTS and _begins_as_picture(path))


def _begins_as_picture(path: Path) -> bool:
    try:
        look(path)
    except (BadPictureError, FileError):  # not a picture, or unreadable
        return False
    return True


def look(path: Path) -> Look:
    """The form of the picture in a file, from its header: upright, with 1 (gray) or 3 channels (color).

    Raises FileError if it cannot be read, BadPictureError if it is not a picture, broken or too large.
    """
    with _opened(path) as image:
        width, height = image.size
        cut = _is_cut(image)  # before reading the orientation, which may decode the picture
        if image.getexif().get(ORIENTATION) in TURNED:
            width, height = height, width
        form = Form(height, width, 1 if _is_grey(image.mode) else 3, _dtype(image))
        frames = image.format != "MPO" and bool(getattr(image, "is_animated", False))  # their frames are previews
        return Look(form, cut, frames)


def read_picture(path: Path, form: Form, options: Reading) -> Pixels:
    """The pixels (h, w, c) of the picture in a file, in the requested form; its first frame, if there are several.

    Colors are converted to gray by 0.299 R + 0.587 G + 0.114 B, transparent pixels to white, 8 bits to 16 if requested.
    Another size is resized, averaging when it shrinks, or rejected. Raises the same errors as `look`, and DataError for
    a rejected size and for values that are not finite.
    """
    with _opened(path) as image:
        pillow(path).ImageOps.exif_transpose(image, in_place=True)
        if not options.resize and image.size != (form.width, form.height):
            width, height = image.size
            raise DataError(
                f"{path}: is {Form(height, width, form.channels)} pixels, expected {form} (height x width): "
                f"{_resize_hint(form, options)}"
            )
        if _dtype(image) != "uint8":
            return _fit_deep(str(path), image, form)
        pixels = _fit(str(path), image, form)
        return pixels if form.dtype == "uint8" else pixels.astype(form.dtype) * WIDEN


def conform(source: str, pixels: Pixels, form: Form, options: Reading) -> Pixels:
    """Images (n, h, w, c) in the requested form, as `read_picture` would return them; raises DataError if
    impossible.
    """
    height, width, channels = pixels.shape[1:]
    if (height, width, channels) == (form.height, form.width, form.channels):
        return pixels
    own = Form(height, width, channels)
    if (height, width) != (form.height, form.width) and not options.resize:
        hint = _resize_hint(form, options)
        raise DataError(f"{source}: images of {own} pixels, expected {form} (height x width): {hint}")
    if channels not in MODES or form.channels not in MODES:
        raise DataError(f"{source}: images of {channels} channels, expected {form.channels}: convert them")
    fit = _fit_array if pixels.dtype == np.uint8 else _fit_numbers
    result = np.empty((len(pixels), form.height, form.width, form.channels), pixels.dtype)
    for i, array in enumerate(pixels):
        result[i] = fit(source, array, form)
    return result


def pillow(source: Any) -> Any:
    """The package PIL; raises FileError, which says how to install it."""
    try:
        import PIL.Image
        import PIL.ImageOps
    except ImportError:
        raise FileError(f"{source}: reading pictures needs Pillow: pip install Pillow") from None
    return PIL


def _resize_hint(form: Form, options: Reading) -> str:
    """The option that allows other sizes, which differs between training and a trained network."""
    size = "" if options.sized else f"height={form.height}, width={form.width}, "
    return f"resize with {size}resize=True"


def _is_grey(mode: str) -> bool:
    return mode in GREY or mode.startswith("I;")


@contextmanager
def _opened(path: Path) -> Iterator[Image]:
    """A picture whose header has been read and is within the limits; decoding errors become one kind of error."""
    Image = pillow(path).Image
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about damaged metadata, which does not matter here
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with open_regular(path) as file, Image.open(file, formats=_formats(Image)) as image:
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
                f"{path}: not in a readable picture format ({known} and others): convert it"
            ) from None
        except (*DAMAGE, struct.error, RuntimeError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise failure(path, "read", error) from None
            raise BadPictureError(f"{path}: damaged or cut short ({error}): repair it, or remove it") from None


def _formats(Image: Any) -> list[str]:
    """The FORMATS that this version of Pillow supports."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _too_large(path: Path) -> str:
    return f"{path}: has more than {MOST_PIXELS:,} pixels, the most that are decoded: make it smaller"


def _fit(source: str, image: Image, form: Form) -> Pixels:
    """The pixels of an upright picture in the requested form; shrunk first, to avoid copies of large pictures."""
    Image = pillow(source).Image
    transparent = image.has_transparency_data
    image = _in_mode(image, "RGBA" if transparent else "L" if _is_grey(image.mode) else "RGB")
    if image.size != (form.width, form.height):
        image = image.resize((form.width, form.height), Image.Resampling.BILINEAR)
    if transparent and form.channels != 4:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = _in_mode(image, MODES[form.channels])
    return np.asarray(image, np.uint8).reshape(form.height, form.width, form.channels)


def _in_mode(image: Image, mode: str) -> Image:
    """The image in a mode; Pillow would copy one that already has it."""
    return image if image.mode == mode else image.convert(mode)


def _fit_array(source: str, array: Pixels, form: Form) -> Pixels:
    """8-bit pixels (h, w, c) in the requested form."""
    grey = array.shape[-1] == 1
    return _fit(source, pillow(source).Image.fromarray(np.ascontiguousarray(array[..., 0] if grey else array)), form)


def _fit_numbers(source: str, array: Pixels, form: Form) -> Pixels:
    """Values (h, w, c) of any other kind in the requested form."""
    dtype, channels = array.dtype, array.shape[-1]
    if channels != form.channels:
        if 4 in (channels, form.channels):
            raise DataError(f"{source}: {dtype} of {channels} channels, expected {form.channels}: convert it")
        array = array if channels == 1 else (array @ GREY_WEIGHTS)[..., None]
        array = np.broadcast_to(array, (*array.shape[:2], form.channels))
    if array.shape[:2] != (form.height, form.width):
        array = np.stack([_resized(source, array[..., i], form) for i in range(form.channels)], axis=-1)
    return (np.rint(array) if dtype.kind in "iu" else array).astype(dtype, copy=False)


def _resized(source: str, array: Pixels, form: Form) -> Pixels:
    """Values (h, w), resized as differences from their mean: Pillow's float32 is precise enough for these."""
    Image = pillow(source).Image
    mean, apart = array.mean(dtype=np.float64), np.empty(array.shape, np.float32)
    np.subtract(array, mean, out=apart)
    image = Image.fromarray(apart).resize((form.width, form.height), Image.Resampling.BILINEAR)
    result: Pixels = np.asarray(image, np.float64) + mean
    return result


def _fit_deep(source: str, image: Image, form: Form) -> Pixels:
    """The pixels of a gray picture of more than 8 bits in the requested form."""
    values = np.asarray(image).astype(form.dtype, copy=False)
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        values = np.where(values == clear, np.iinfo(form.dtype).max, values).astype(form.dtype)
    try:
        check_finite(source, values)
    except DataError as error:
        raise BadPictureError(str(error)) from None
    return _fit_numbers(source, values[..., None], form)


def _dtype(image: Image) -> str:
    """The dtype of a picture's values; 32-bit integers are really 16 bits in all formats but one."""
    if image.mode == "F":
        return "float32"
    if image.mode == "I":
        return "int32" if image.format == "TIFF" else "uint16"
    return "uint16" if image.mode.startswith("I;") else "uint8"


def _is_cut(image: Image) -> bool:
    """Whether the file has more bits per color than are read; Pillow tells how it decodes."""
    tiles = getattr(image, "tile", ()) if _dtype(image) == "uint8" else ()
    steps = (how[-1] for codec, _, _, how in tiles if codec.startswith("ppm") and isinstance(how, tuple))
    return any(";16" in str(tile[3]) for tile in tiles) or any(most > 255 for most in steps)
