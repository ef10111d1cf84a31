"""The rows networks are trained on: real ones if the data folder has them, otherwise synthetic ones of that shape."""

from __future__ import annotations

import os
import zlib
from math import prod
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
DATA_VARIABLE = "CHAINRULE_DATA"  # folder holding images/mnist_10k.npz; synthetic rows of the same shape without it


def make_rows(source: str, rows: int, shape: tuple[int, ...], classes: int) -> tuple[np.ndarray, np.ndarray, str]:
    """x (rows, *shape) float32, y ((rows,) int64 classes, or (rows, outputs) float32), and where they came from.

    `source`: "xor", "blobs", "digits", "mnist", or "pictures" for synthetic images with natural statistics.
    """
    rng = np.random.default_rng(zlib.crc32(source.encode()))
    if source == "xor":
        x = rng.uniform(-1.0, 1.0, (rows, 2)).astype(np.float32)
        return x, (x[:, :1] * x[:, 1:] < 0).astype(np.float32), "synthetic: sign of the product of two uniform numbers"
    if source == "pictures":
        return *_pictures(rng, rows, shape, classes), "synthetic: 1/f spectrum, correlated colors, ten classes"
    real = {"digits": _digits, "mnist": _mnist}[source]() if source != "blobs" else None
    if real is not None:
        return real[0][:rows].reshape(rows, *shape), real[1][:rows], real[2]
    x, y = _blobs(rng, rows, prod(shape), classes)
    return x.reshape(rows, *shape), y, "synthetic: one noisy center for each class, a tenth of the labels random"


def _blobs(rng: np.random.Generator, rows: int, width: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    y = rng.integers(0, classes, rows)
    centres = rng.normal(0.0, 1.0, (classes, width))
    x = (centres[y] + rng.normal(0.0, 2.0, (rows, width))).astype(np.float32)
    # One label in ten is random: otherwise the loss falls to zero and denormal numbers determine the speed.
    return x, np.where(rng.random(rows) < 0.1, rng.integers(0, classes, rows), y).astype(np.int64)


def _pictures(
    rng: np.random.Generator, rows: int, shape: tuple[int, ...], classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Images whose amplitudes fall as 1/frequency, like those of natural images (Field, JOSA A 4, 1987).

    Two thirds of the variance of the three colors is shared. Half of each image is the pattern of its class. Every
    channel has mean 0 and deviation 1.
    """
    h, w, channels = shape
    y = rng.integers(0, classes, rows)
    x = _spectral(rng, rows, h, w, channels) + _spectral(rng, classes, h, w, channels)[y]
    x = (x - x.mean((0, 1, 2))) / x.std((0, 1, 2))
    return x.astype(np.float32), np.where(rng.random(rows) < 0.1, rng.integers(0, classes, rows), y).astype(np.int64)


def _spectral(rng: np.random.Generator, count: int, h: int, w: int, channels: int) -> np.ndarray:
    noise = rng.normal(0.0, 1.0, (count, h, w, channels)) + np.sqrt(2.0) * rng.normal(0.0, 1.0, (count, h, w, 1))
    frequency = np.hypot(np.fft.fftfreq(h)[:, None], np.fft.fftfreq(w))
    frequency[0, 0] = frequency[0, 1]
    found = np.fft.ifft2(np.fft.fft2(noise, axes=(1, 2)) / frequency[:, :, None], axes=(1, 2)).real
    return np.asarray(found / found.std())


def _mnist() -> tuple[np.ndarray, np.ndarray, str] | None:
    folder = os.environ.get(DATA_VARIABLE)
    path = Path(folder) / "images" / "mnist_10k.npz" if folder else None
    if path is None or not path.exists():
        return None
    with np.load(path) as arrays:
        x = arrays["x"].reshape(len(arrays["x"]), -1).astype(np.float32) / np.float32(255.0)
        return x, arrays["y"].astype(np.int64), "MNIST, 10,000 images, pixels / 255"


def _digits() -> tuple[np.ndarray, np.ndarray, str]:
    with np.load(ROOT / "src" / "chainrule" / "data" / "digits.npz") as arrays:
        x = arrays["x"].reshape(len(arrays["x"]), -1).astype(np.float32) / np.float32(16.0)
        return x, arrays["y"].astype(np.int64), "UCI optdigits test set, pixels / 16"
