"""Clips of sound from files, as samples at one rate."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.reading import reading
from chainrule.errors import DataError
from chainrule.files import as_path, open_regular

FORMATS = (".wav", ".flac", ".ogg", ".aiff", ".aif")
LONGEST = 300.0  # seconds
INSTALL = "pip install 'chainrule[sounds]'"
Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Clip:
    """Samples from -1 to 1 of one channel."""

    source: str
    samples: Samples  # (n,)
    rate: int  # samples a second
    notes: tuple[str, ...] = ()  # messages for the user about what reading changed

    def __repr__(self) -> str:
        return f"<Clip {self.source}: {self.seconds:.2f} s at {self.rate:,} Hz>"

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate

    def at(self, rate: int) -> Clip:
        """The clip at another rate, by a polyphase filter (scipy.signal.resample_poly); told in `notes`."""
        if rate == self.rate:
            return self
        from scipy.signal import resample_poly

        common = gcd(rate, self.rate)
        samples = resample_poly(self.samples, rate // common, self.rate // common).astype(np.float32)
        told = f"{self.source}: resampled from {self.rate:,} to {rate:,} samples a second"
        return Clip(self.source, samples, rate, (*self.notes, told))


def read_clip(path: Any, rate: int | None = None) -> Clip:
    """The clip in a WAV, FLAC, OGG or AIFF file, at `rate` samples a second, by default the file's.

    Several channels become their mean, which `notes` tells. Raises FileError for a file that cannot be read, DataError
    for one without samples, longer than 300 s, damaged, cut short, or with values that are not finite.
    """
    path = as_path("read_clip", path)
    soundfile = _soundfile()
    with reading(path), open_regular(path) as opened:
        try:
            with soundfile.SoundFile(opened) as file:
                return _clip(path, file).at(rate or file.samplerate)
        except soundfile.LibsndfileError as error:
            reason = str(error.error_string).rstrip(".")
            raise DataError(f"{path}: no sound that can be read ({reason}): save it as WAV or FLAC") from None


def _clip(path: Path, file: Any) -> Clip:
    seconds = file.frames / file.samplerate
    if seconds > LONGEST:  # by the header, before any sample is read
        raise DataError(f"{path}: {seconds:,.0f} s of sound, at most {LONGEST:g} are read: cut it into shorter clips")
    frames = file.read(dtype="float32", always_2d=True)
    if len(frames) == 0:
        raise DataError(f"{path}: no samples: record it again, or remove it")
    if len(frames) < file.frames:
        raise DataError(
            f"{path}: cut short, {len(frames):,} of {file.frames:,} samples are there: copy or download it again"
        )
    if not np.isfinite(frames).all():
        raise DataError(f"{path}: holds values that are not finite: save it as 16-bit WAV or FLAC")
    notes = () if frames.shape[1] == 1 else (f"{path}: the mean of its {frames.shape[1]} channels is read",)
    return Clip(str(path), frames.mean(axis=1), file.samplerate, notes)


def _soundfile() -> Any:
    try:
        import soundfile
    except ImportError:
        raise DataError(f"sound files need the package soundfile: {INSTALL}") from None
    return soundfile
