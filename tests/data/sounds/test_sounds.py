"""Clips and their features."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from chainrule.data.sounds import Clip, LogMel, read_clip
from chainrule.errors import DataError, FileError, OptionError

soundfile = pytest.importorskip("soundfile")
RATE = 8000


def tone(frequency: float, seconds: float = 0.5, rate: int = RATE) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_a_clip_is_read_as_it_was_written(tmp_path: Path, name: str) -> None:
    soundfile.write(tmp_path / name, tone(440), RATE, subtype="PCM_16")
    clip = read_clip(tmp_path / name)
    assert (clip.rate, clip.notes) == (RATE, ())
    np.testing.assert_allclose(clip.samples, tone(440), atol=1 / 32768)


def test_channels_become_their_mean_and_another_rate_is_told(tmp_path: Path) -> None:
    high = tone(440, rate=16000)
    soundfile.write(tmp_path / "a.wav", np.stack([high, 0 * high], axis=1), 16000, subtype="FLOAT")
    clip = read_clip(tmp_path / "a.wav", RATE)
    assert [note.split(": ")[1] for note in clip.notes] == [
        "the mean of its 2 channels is read",
        "resampled from 16,000 to 8,000 samples a second",
    ]
    middle = slice(200, -200)  # the filter has no samples beyond the ends
    np.testing.assert_allclose(clip.samples[middle], 0.5 * tone(440)[middle], atol=2e-3)


def test_what_is_no_clip_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "none.wav", np.zeros(0, np.float32), RATE)
    with pytest.raises(DataError, match="no samples"):
        read_clip(tmp_path / "none.wav")
    (tmp_path / "text.wav").write_text("this is no sound")
    with pytest.raises(DataError, match="no sound that can be read"):
        read_clip(tmp_path / "text.wav")
    soundfile.write(tmp_path / "nan.wav", np.array([0.0, np.nan], np.float32), RATE, subtype="FLOAT")
    with pytest.raises(DataError, match="not finite"):
        read_clip(tmp_path / "nan.wav")
    soundfile.write(tmp_path / "long.flac", np.zeros(301 * 100, np.int16), 100)
    with pytest.raises(DataError, match="301 s of sound, at most 300"):
        read_clip(tmp_path / "long.flac")
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(FileError, match="not a regular file"):
        read_clip(tmp_path / "pipe.wav")


def test_a_flac_file_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "a.flac", rng.normal(0, 0.1, 4 * RATE).clip(-1, 1), RATE)
    whole = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cut short|no sound that can be read"):
        read_clip(tmp_path / "a.flac")


def test_a_tone_is_loudest_in_the_band_that_holds_its_frequency() -> None:
    mel = LogMel(RATE, bands=20)
    frequencies = np.fft.rfftfreq(256, 1 / RATE)
    for frequency in (300.0, 1000.0, 2500.0):
        loudest = mel(tone(frequency)).mean(axis=0).argmax()
        centre = frequencies[mel.filters()[loudest].argmax()]
        assert abs(centre - frequency) < 0.15 * frequency


def test_features_follow_their_definition() -> None:
    mel, samples = LogMel(RATE, bands=10), np.random.default_rng(0).normal(size=1000).astype(np.float32)
    frame = samples[160:360] * np.hanning(200)
    power = np.abs(np.fft.fft(frame, 256)[:129]) ** 2 / 200
    np.testing.assert_allclose(mel(samples)[2], np.log(mel.filters() @ power), rtol=1e-4)
    assert mel(samples).shape == (11, 10)
    assert mel(samples[:10]).shape == (1, 10)
    assert np.isfinite(mel(np.zeros(500, np.float32))).all()


def test_features_of_a_clip_at_another_rate_are_those_of_the_resampled_clip() -> None:
    mel = LogMel(RATE)
    clip = Clip("a.wav", tone(440, rate=16000), 16000)
    np.testing.assert_array_equal(mel(clip), mel(clip.at(RATE).samples))


def test_settings_without_sense_are_refused() -> None:
    with pytest.raises(OptionError, match="window"):
        LogMel(RATE, window=0)
    with pytest.raises(OptionError, match="holds no frequency"):
        LogMel(RATE, bands=400)
    with pytest.raises(OptionError, match="no sample"):
        LogMel(10, hop=0.01)
