"""Defaults, config file and command line: who wins, and that nothing is lost on the way."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from chainrule.cli.config import resolve
from chainrule.cli.settings import FIELDS, Settings, parse_override
from chainrule.errors import OptionError


def test_the_command_line_wins(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("data: digits\nlr: 1e-2\nepochs: 7\nbatch-size: 8\n")
    settings = resolve(config, {"epochs": "9", "seed": None, "out": "none"}, ["lr=5e-3", "batch-size=16"])
    assert (settings.lr, settings.epochs, settings.batch_size, settings.seed) == (5e-3, 9, 16, 0)
    assert settings.out == "none"


def test_settings_survive_yaml() -> None:
    settings = Settings(data="t.csv", target="y", drop="a, b", lr="1e-3", patience=4)
    assert settings.drop == ("a, b",)  # split where the columns are known
    again = Settings(**yaml.safe_load(yaml.safe_dump(settings.to_dict())))
    assert again == settings


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("lr=0.1", "lr", 0.1),
        ("clip_norm=null", "clip_norm", None),
        ("model=mlp:8", "model", "mlp:8"),
        ("target=1", "target", "1"),
        ("threads=2", "threads", 2),
        ("seed=010", "seed", 10),
        ("epochs=1:30", "epochs", "1:30"),
    ],
)
def test_key_value(text: str, name: str, value: object) -> None:
    assert parse_override(text) == (name, value)


@pytest.mark.parametrize("value", [True, [1], {"a": 1}, ""])
def test_text_is_text(value: object) -> None:
    with pytest.raises(OptionError, match="expected text"):
        Settings(data=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("line", ["drop: [no, 1, null]", "na: [yes, ~]", "drop:\n- a\n-", "drop: null"])
def test_a_name_that_yaml_takes_for_no_value_needs_quotes(tmp_path: Path, line: str) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(f"data: t.csv\n{line}\n")
    with pytest.raises(OptionError, match=r'line 2: (drop|na) holds no value .*: write "null" or "~" in quotes'):
        resolve(config, {}, [])
    config.write_text('data: t.csv\ndrop: [no, 1, "null", "~"]\n')
    assert resolve(config, {}, []).drop == ("no", "1", "null", "~")


def test_every_setting_has_help_and_a_check() -> None:
    for name, field in FIELDS.items():
        assert field.metadata["help"], name
        assert callable(field.metadata["check"]), name
