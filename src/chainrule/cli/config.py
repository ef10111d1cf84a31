"""Config files: a strict part of YAML, in which nothing can refer to other values or be of another kind than text.

A file is one mapping of settings to words or lists of words. Anchors, aliases, tags and nesting, with which a small
file can stand for millions of values, are refused as they are met, so reading takes time and memory in proportion to
the file. A column may be called no, 007 or 1e3: every word is text, except null for no value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from chainrule.cli.settings import FIELDS, Settings, check_setting, known_key, parse, parse_override
from chainrule.errors import OptionError
from chainrule.files import read_whole

MOST_BYTES = 256 << 10
NULLS = ("", "~", "null", "Null", "NULL")
LINES = "write one `key: value` per line"


def resolve(config: Path | None, options: Mapping[str, Any], overrides: list[str]) -> Settings:
    """Settings from a config file, options (None: not given) and `key=value` words; OptionError for unknown keys."""
    values: dict[str, Any] = read_config(config) if config else {}
    values |= {k: parse(FIELDS[k].metadata["kind"], given) for k, given in options.items() if given not in (None, [])}
    values |= dict(parse_override(text) for text in overrides)
    return Settings(**values)


def read_config(path: Path) -> dict[str, Any]:
    """The settings in a file, each checked; raises FileError or OptionError naming the file and the setting."""
    values: dict[str, Any] = {}
    for key, value, line in _pairs(path):
        name = known_key(str(key), f"{path}: line {line}")
        if name in values:
            raise OptionError(f"{path}: line {line}: {name} is there more than once: keep one of them")
        try:
            values[name] = check_setting(name, parse(FIELDS[name].metadata["kind"], value))
        except OptionError as error:
            raise OptionError(f"{path}: line {line}: {str(error).removeprefix('train: ')}") from None
    return values


def _pairs(path: Path) -> Iterator[tuple[str | None, Any, int]]:
    """Each key, its value and its line, in the file's order."""
    import yaml

    try:
        text = read_whole(path, MOST_BYTES).decode("utf-8")
        # The fast loader refuses the escapes in names of files that are not UTF-8.
        loader = yaml.SafeLoader if r"\uD" in text else getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        events = _Events(path, yaml.parse(text, Loader=loader))
        yield from events.pairs()
    except UnicodeDecodeError:
        raise OptionError(f"{path}: not UTF-8 text: save the config file as UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise OptionError(f"{path}: not valid YAML{where}: {LINES}") from None


class _Events:
    """What a parser finds in a file, in order."""

    def __init__(self, path: Path, events: Iterator[Any]) -> None:
        self._path, self._events = path, events

    def pairs(self) -> Iterator[tuple[str | None, Any, int]]:
        import yaml

        self._next(yaml.StreamStartEvent)
        if isinstance(self._next(), yaml.StreamEndEvent):
            return
        event = self._next()
        if isinstance(event, yaml.ScalarEvent) and self._word(event) is None:
            event = None
        elif not isinstance(event, yaml.MappingStartEvent):
            kind = "list" if isinstance(event, yaml.SequenceStartEvent) else "word"
            raise self._refusal(event, f"holds a {kind}, expected one `key: value` per line")
        while event is not None and not isinstance(key := self._next(), yaml.MappingEndEvent):
            yield self._word(key), self._value(), key.start_mark.line + 1
        self._next(yaml.DocumentEndEvent)
        if not isinstance(end := self._next(), yaml.StreamEndEvent):
            raise self._refusal(end, "holds several documents, expected one: remove the others")

    def _value(self) -> Any:
        """A word, null or a list of these."""
        import yaml

        event = self._next()
        if not isinstance(event, yaml.SequenceStartEvent):
            return self._word(event)
        words = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            words.append(self._word(event))
        return words

    def _word(self, event: Any) -> str | None:
        import yaml

        if not isinstance(event, yaml.ScalarEvent):
            raise self._refusal(event, f"holds values inside values, expected words or a list of words: {LINES}")
        plain = event.implicit[0] and event.value in NULLS
        return None if plain else str(event.value)

    def _next(self, kind: Any = object) -> Any:
        """The next event; raises OptionError for another kind, and for references and tags."""
        event = next(self._events)
        if getattr(event, "anchor", None) is not None:
            raise self._refusal(event, "refers to other values with & or *, which are not read: write the values out")
        if getattr(event, "tag", None) is not None:
            raise self._refusal(event, "names a kind of value with !, which is not read: write the value alone")
        if not isinstance(event, kind):
            raise self._refusal(event, f"not valid YAML: {LINES}")
        return event

    def _refusal(self, event: Any, why: str) -> OptionError:
        return OptionError(f"{self._path}: line {event.start_mark.line + 1}: {why}")
