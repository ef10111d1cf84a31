"""Sounds: clips from WAV and FLAC files, and their log-mel features."""

from chainrule.data.sounds.features import LogMel
from chainrule.data.sounds.reading import Clip, read_clip

__all__ = ["Clip", "LogMel", "read_clip"]
