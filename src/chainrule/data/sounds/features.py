"""Log-mel features: how much energy a sound has in each band of pitch, over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.sounds.reading import Clip
from chainrule.errors import OptionError
from chainrule.settings import number, whole

QUIET = 1e-10  # of the power, which has no logarithm at 0: 100 dB below a sine of full scale


@dataclass(frozen=True)
class LogMel:
    """log(M·|F(w·s)|²) for frames s of a clip: window w, Fourier transform F, mel filters M.

    Frames of `window` seconds (0.025 by default) follow each other every `hop` seconds (0.010), under a Hann window;
    `bands` (40) triangular filters lie evenly on the mel scale, m = 2595·log10(1 + f/700), from 0 to rate/2
    (O'Shaughnessy, Speech Communication, 1987, p. 150; Davis and Mermelstein, IEEE Trans. ASSP 28, 1980). A clip
    shorter than a window is one frame, the rest silence. Raises OptionError for settings that make no sense.

    >>> LogMel(rate=8000)(np.zeros(8000, np.float32)).shape
    (98, 40)
    """

    rate: int  # samples a second
    bands: int = 40
    window: float = 0.025
    hop: float = 0.010

    def __post_init__(self) -> None:
        whole("LogMel", "rate", self.rate)
        number("LogMel", "window", self.window, above=0, most=1)
        number("LogMel", "hop", self.hop, above=0, most=1)
        whole("LogMel", "bands", self.bands)
        if round(self.hop * self.rate) < 1 or self.size < 2:
            raise OptionError(
                f"LogMel: a window of {self.window} s or a hop of {self.hop} s has no sample: use a higher rate"
            )
        self.filters()

    @property
    def size(self) -> int:
        """Samples of a window."""
        return round(self.window * self.rate)

    def __call__(self, clip: Clip | NDArray[Any]) -> NDArray[np.float32]:
        """The features (frames, bands) of a clip, or of samples at its rate; another rate is resampled."""
        samples = clip.at(self.rate).samples if isinstance(clip, Clip) else np.asarray(clip, np.float32)
        if len(samples) < self.size:
            samples = np.pad(samples, (0, self.size - len(samples)))
        every = round(self.hop * self.rate)
        frames = np.lib.stride_tricks.sliding_window_view(samples, self.size)[::every]
        spectrum = np.fft.rfft(frames * np.hanning(self.size).astype(np.float32), n=self._length)
        power = (spectrum.real**2 + spectrum.imag**2) / self.size
        return np.log(np.maximum(power @ self.filters().T, QUIET)).astype(np.float32)

    @property
    def _length(self) -> int:
        """Of the Fourier transform: the next power of two, zeros after the frame."""
        return 1 << (self.size - 1).bit_length()

    def filters(self) -> NDArray[np.float64]:
        """The weight of each frequency of the transform in each band: (bands, frequencies)."""
        edges = _from_mel(np.linspace(0.0, _to_mel(self.rate / 2), self.bands + 2))[:, None]
        frequencies = np.fft.rfftfreq(self._length, 1 / self.rate)
        rising = (frequencies - edges[:-2]) / (edges[1:-1] - edges[:-2])
        falling = (edges[2:] - frequencies) / (edges[2:] - edges[1:-1])
        weights: NDArray[np.float64] = np.maximum(0.0, np.minimum(rising, falling))
        empty = np.flatnonzero(weights.sum(axis=1) == 0)
        if len(empty):
            raise OptionError(
                f"LogMel: band {empty[0] + 1} of {self.bands} holds no frequency of a window of {self.window} s: use "
                "fewer bands, or a longer window"
            )
        return weights

    def to_dict(self) -> dict[str, Any]:
        return {"rate": self.rate, "bands": self.bands, "window": self.window, "hop": self.hop}


def _to_mel(frequency: Any) -> Any:
    return 2595.0 * np.log10(1.0 + frequency / 700.0)


def _from_mel(mel: Any) -> Any:
    return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
