"""Networks by name, the one where none is named, and what `info` says of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from tests.cli.outcome import QUICK, Command, train


def test_the_network_of_a_table_where_none_is_named(chainrule: Command, flowers: Path) -> None:
    outcome = chainrule("train", flowers, "--target", "kind", "engine=reference", "epochs=1")
    line = "network mlp:256, the default for tables: choose another with --model, such as mlp:64,64"
    assert line in outcome.lines
    digits = chainrule("train", "digits", "engine=reference", "epochs=1")
    assert f"{line}, or cnn to treat the rows as images" in digits.lines
    for given in ("dropout=0.1", "activation=tanh"):  # a cnn takes neither
        assert line in chainrule("train", "digits", "engine=reference", "epochs=1", given).lines


def test_a_convolutional_network(chainrule: Command, photos: Path, tmp_path: Path) -> None:
    run = train(chainrule, photos, "model=cnn", "epochs=3", "batch_size=16", "lr=0.01", "engine=reference")
    assert (run / "filters.png").exists()
    assert "BatchNorm2d" in chainrule("info", run).out
    results = json.loads((run / "results.json").read_text())
    assert chainrule("evaluate", run).lines[-1] == f"accuracy: {results['test']['accuracy']:.4f}"
    assert chainrule("predict", run, photos / "down" / "0.png").status == 0


ONE_EPOCH = ("engine=reference", "epochs=1", "batch_size=16")
CHOSEN = {
    "images": (
        [],
        "network cnn (models.small_cnn), the default for images: choose another with --model, such as resnet20",
    ),
    "small images": (
        ["image_size=7"],
        "network mlp:256, the default for images smaller than 8 x 8: choose another with --model",
    ),
    "dropout": (["dropout=0.1"], "network mlp:256, the default with --dropout: choose another with --model"),
    "activation": (["activation=tanh"], "network mlp:256, the default with --activation: choose another"),
}


@pytest.mark.parametrize("case", CHOSEN)
def test_the_network_where_none_is_named(chainrule: Command, photos: Path, case: str) -> None:
    options, line = CHOSEN[case]
    outcome = chainrule("train", photos, *options, *ONE_EPOCH)
    assert outcome.status == 0, outcome.err
    assert any(said.startswith(line) for said in outcome.lines), outcome.out
    run = Path(outcome.lines[-1].removeprefix("run: "))
    assert yaml.safe_load((run / "config.yaml").read_text())["model"] == line.split()[1].rstrip(",")
    again = chainrule("train", "--config", run / "config.yaml")
    assert "network" not in again.out
    model = Path(again.lines[-1].removeprefix("run: ")) / "model.safetensors"
    assert model.read_bytes() == (run / "model.safetensors").read_bytes()


def test_help_names_the_network_that_is_chosen(chainrule: Command) -> None:
    told = " ".join(chainrule("train", "--help").out.replace("│", " ").split())
    assert "default: cnn for images of at least 8 x 8 pixels, otherwise mlp:256, also if --activation or" in told


def test_networks_by_the_names_python_has(chainrule: Command, photos: Path) -> None:
    run = train(chainrule, photos, "--model", "small_cnn", *ONE_EPOCH)
    assert yaml.safe_load((run / "config.yaml").read_text())["model"] == "cnn"


def test_info_shows_the_settings_that_apply(chainrule: Command, photos: Path, flowers: Path) -> None:
    def settings(run: Path) -> set[str]:
        return {line.split()[0] for line in chainrule("info", run).lines if line.split()}

    cnn = settings(train(chainrule, photos, *ONE_EPOCH))
    mlp = settings(train(chainrule, photos, *QUICK))
    table = settings(train(chainrule, flowers, "--target", "kind", *QUICK))
    assert mlp - cnn >= {"activation", "dropout"}
    assert not {"target", "missing", "drop", "momentum", "patience"} & cnn
    assert table >= {"target", "missing", "activation", "dropout", "lr", "epochs"}
    assert not {"broken", "image_size", "augment", "data_dir", "drop"} & table


def test_digits_are_images_to_a_network_for_images(chainrule: Command) -> None:
    outcome = chainrule(
        "train", "digits", "model=cnn", "epochs=1", "batch_size=512", "engine=reference", "val_size=0.7"
    )
    assert outcome.status == 0, outcome.err
    assert "digits: 1,797 images of 8 x 8 pixels, grey, 10 classes" in outcome.lines


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ["model=lenet"],
            "chainrule: lenet5: images are 8 x 8, expected at least 16 x 16: pad or enlarge them, for example with",
        ),
        (["model=lenet5"], "expected at least 16 x 16: pad or enlarge them, for example with --image-size"),
        (["model=cnn", "image_size=1"], "small_cnn: images are 1 x 1, expected at least 4 x 4"),
        (["model=cnn", "dropout=0.1"], "dropout: cnn has its own dropout: leave it out"),
        (["model=small_cnn", "dropout=0.1"], "dropout: cnn has its own dropout: leave it out"),
        (["model=smal_cnn"], 'model: "smal_cnn" is unknown: did you mean "cnn" (models.small_cnn)?'),
        (
            ["model=transformer"],
            "for images cnn (models.small_cnn), lenet (models.lenet5), resnet20, resnet32, resnet56",
        ),
        (["model=resnet20", "activation=tanh"], "activation: resnet20 has its own activation: leave it out"),
        (["model=resnet65"], 'model: "resnet65" is unknown: did you mean "resnet56"?'),
        (["model=resnet21"], 'model: "resnet21" is unknown: did you mean "resnet20"?'),
        (["model=resnet18"], 'model: "resnet18" is unknown: did you mean "resnet20"?'),
    ],
)
def test_mistakes_in_networks(chainrule: Command, photos: Path, options: list[str], words: str) -> None:
    outcome = chainrule("train", photos, "engine=reference", *options)
    assert outcome.status == 2, outcome.out
    assert words in outcome.err
    assert outcome.err.count("\n") == 1
    assert not Path("runs").exists()


def test_networks_for_images_take_no_tables(chainrule: Command, flowers: Path) -> None:
    outcome = chainrule("train", flowers, "model=cnn")
    assert outcome.status == 2
    assert "holds no readable images" in outcome.err
    assert "is neither a bundled data set nor a file" in chainrule("train", "digit", "model=cnn").err
