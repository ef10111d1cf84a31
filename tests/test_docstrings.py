"""The examples in the docstrings run, and give what they say."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import pkgutil
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule import models, nn, optim

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
NAMES = {"np": np, "cr": cr, "nn": nn, "models": models, "optim": optim, "init": nn.init, "Path": Path}


def modules() -> list[str]:
    found = [module.name for module in pkgutil.walk_packages(cr.__path__, "chainrule.")]
    return [name for name in found if ">>>" in Path(importlib.util.find_spec(name).origin).read_text(encoding="utf-8")]


@pytest.mark.parametrize("name", modules())
def test_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # some write files
    cr.seed(0)
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    for example in doctest.DocTestFinder().find(module, globs=NAMES | vars(module)):
        told: list[str] = []
        runner.run(example, out=told.append)
        assert not runner.failures, "".join(told)
