"""The commands on images: a folder of pictures, IDX files, archives and named sets, from training to one picture."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from tests.cli.outcome import Command, train
from tests.data.images.test_idx import write_pair

from chainrule.cli.loading import reading_bar
from chainrule.cli.train import fit
from chainrule.data.images import Reading, read_images

Image = pytest.importorskip("PIL.Image")

QUICK = ("engine=reference", "epochs=12", "model=mlp:8", "batch_size=16", "lr=0.01")
FIGURES = {"loss.png", "confusion.png", "samples.png", "filters.png"}


def test_a_folder_all_the_way(chainrule: Command, photos: Path, tmp_path: Path) -> None:
    outcome = chainrule("train", photos, *QUICK)
    assert outcome.status == 0, outcome.err
    assert "photos: 80 images of 8 x 8 pixels, grey, 2 classes" in outcome.lines
    assert "56 images for training, 8 for validation, 16 for testing" in outcome.lines
    assert outcome.lines[-2] == "test accuracy: 1.0000"
    run = tmp_path / outcome.lines[-1].removeprefix("run: ")
    assert run.name.endswith("-photos")
    assert {p.name for p in run.glob("*.png")} == FIGURES
    record = json.loads((run / "data.json").read_text())["preparation"]
    assert record["target"]["names"] == ["across", "down"]
    assert record["inputs"]["shape"] == [8, 8, 1]
    assert record["inputs"]["scaling"]["mean"][0] == pytest.approx(120, abs=5)

    predicted = chainrule("predict", "latest", photos / "down" / "0.png")
    assert predicted.status == 0, predicted.err
    assert predicted.lines[-1].startswith("prediction: down (0.9")
    assert [line.split()[0] for line in predicted.lines if line.split()[:1] in (["across"], ["down"])] == [
        "down",
        "across",
    ]
    evaluated = chainrule("evaluate", "latest")
    assert "photos: the 16 test images of 80; the others were used in training" in evaluated.lines
    assert evaluated.lines[-1] == "accuracy: 1.0000"
    assert (
        "photos: 80 images, including those it was trained on"
        in chainrule("evaluate", "latest", photos, "--all-rows").out
    )
    assert "Flatten" in chainrule("info", "latest").out


def test_predictions_of_a_folder(chainrule: Command, photos: Path, tmp_path: Path) -> None:
    train(chainrule, photos, *QUICK)
    rows = list(csv.DictReader(io.StringIO(chainrule("predict", "latest", photos / "across").out)))
    assert [row["file"] for row in rows][:2] == ["1.png", "11.png"]
    assert {row["prediction"] for row in rows} == {"across"}
    assert list(rows[0]) == ["file", "prediction", "probability across", "probability down"]
    assert chainrule("predict", "latest", photos / "down" / "0.png", "--out", "p.csv").status == 0
    assert (tmp_path / "p.csv").read_text().splitlines()[1].startswith("0.png,down,")


def test_pictures_of_other_sizes(chainrule: Command, photos: Path, tmp_path: Path) -> None:
    Image.open(photos / "down" / "0.png").convert("RGBA").resize((31, 17)).save(tmp_path / "large.png")
    train(chainrule, photos, *QUICK)
    refused = chainrule("predict", "latest", "large.png")
    assert refused.status == 2
    assert "large.png: is 17 x 31 pixels, expected 8 x 8 (height x width): resize with --resize (" in refused.err
    assert "prediction: down" in chainrule("predict", "latest", "large.png", "--resize").out
    (tmp_path / "large.png").rename(photos / "down" / "large.png")
    refused = chainrule("train", photos, *QUICK)
    assert "large.png: is 17 x 31 pixels, expected 8 x 8 (height x width): resize with --image-size 8\n" in refused.err
    run = train(chainrule, photos, "--image-size", "8", *QUICK)
    assert "image_size: '8'" in (run / "config.yaml").read_text()
    record = json.loads((run / "data.json").read_text())["preparation"]
    assert record["inputs"]["shape"] == [8, 8, 3]  # one picture has colours
    assert "prediction: down" in chainrule("predict", run, photos / "down" / "large.png").out  # as in training


def test_sizes_are_told_height_first(chainrule: Command, photos: Path) -> None:
    outcome = chainrule("train", photos, "--image-size", "6x8", *QUICK)
    assert "photos: 80 images of 6 x 8 pixels (height x width), grey, 2 classes" in outcome.lines


def test_large_pictures_are_told_how_to_be_made_smaller(
    chainrule: Command, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hint = "images of this size take much memory and time: use --image-size 64 to shrink them"
    assert hint not in chainrule("train", photos, *QUICK).out
    monkeypatch.setattr("chainrule.cli.loading.LARGE", 63)
    assert hint in chainrule("train", photos, *QUICK).lines
    assert hint not in chainrule("train", photos, "--image-size", "9", *QUICK).out  # somebody has chosen


def test_several_pictures(chainrule: Command, photos: Path) -> None:
    train(chainrule, photos, *QUICK)
    first, second, bad = photos / "down" / "0.png", photos / "across" / "1.png", photos / "bad.png"
    rows = list(csv.DictReader(io.StringIO(chainrule("predict", "latest", first, second).out)))
    assert [(row["file"], row["prediction"]) for row in rows] == [(str(first), "down"), (str(second), "across")]
    bad.write_bytes(first.read_bytes()[:60])
    refused = chainrule("predict", "latest", first, bad)
    assert refused.status == 2
    assert f"{bad}: damaged" in refused.err
    assert "--broken skip leaves such files out" in refused.err
    skipped = chainrule("predict", "latest", first, bad, "--broken", "skip")
    assert len(skipped.lines) == 2
    assert f"{bad}: damaged" in skipped.err
    assert "2 files: 1 of 2 pictures is left out" in skipped.err
    for command in ("predict", "evaluate"):
        assert f"{command}: broken is 'maybe'" in chainrule(command, "latest", first, "--broken", "maybe").err
    mixed = chainrule("predict", "latest", first, photos)
    assert (mixed.status, "several must all be picture files" in mixed.err) == (2, True)


def test_the_reading_of_many_pictures_is_told(photos: Path) -> None:
    told: list[tuple[str, int, int]] = []
    read_images(str(photos), Reading(told=lambda *so_far: told.append(so_far)))
    assert told[0] == ("looking at pictures", 0, 80)
    assert told[-1] == ("reading pictures", 79, 80)
    screen = io.StringIO()
    with reading_bar(console=Console(file=screen, force_terminal=True)) as tell:
        assert tell is not None
        tell("reading pictures", 40, 80)
    assert "reading pictures" in screen.getvalue()
    assert "40/80" in screen.getvalue()
    with reading_bar(quiet=True) as tell:
        assert tell is None


def test_a_killed_run_leaves_weights(chainrule: Command, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left after an epoch is what a run that is killed then leaves."""
    monkeypatch.setattr("chainrule.cli.train.KEPT", 0.0)
    monkeypatch.setattr("chainrule.cli.train.run_job", lambda job, quiet: {"test": fit(job, quiet=quiet) and None})
    run = train(chainrule, photos, *QUICK)
    assert (run / "model.safetensors").exists()
    assert "the run is still training, or was killed" in chainrule("info", run).out
    predicted = chainrule("predict", run, photos / "down" / "0.png")
    assert "prediction: down" in predicted.out
    assert "the weights are those last saved" in predicted.err


def test_broken_pictures(chainrule: Command, photos: Path) -> None:
    bad = photos / "down" / "bad.png"
    bad.write_bytes(bad.with_name("0.png").read_bytes()[:60])
    refused = chainrule("train", photos, *QUICK)
    assert refused.status == 2
    assert str(bad) in refused.err
    assert "--broken skip leaves such files out" in refused.err
    skipped = chainrule("train", photos, "--broken", "skip", *QUICK)
    assert skipped.status == 0
    assert any(line.startswith(f"{bad}: damaged or cut short") for line in skipped.lines)
    assert f"{photos}: 1 of 81 pictures is left out" in skipped.lines
    assert "16 test images of 80" in chainrule("evaluate", "latest").out
    assert chainrule("predict", "latest", bad).status == 2
    predicted = chainrule("predict", "latest", photos / "down")
    assert len(predicted.lines) == 41
    assert f"{bad}: damaged" in predicted.err


def test_idx_files(chainrule: Command, arrays: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    x, y = arrays
    (tmp_path / "set").mkdir()
    path = write_pair(tmp_path / "set", "train-", x[:60], y[:60], ".gz")
    write_pair(tmp_path / "set", "t10k-", x[60:], y[60:])
    outcome = chainrule("train", "set", *QUICK)
    assert any(line.startswith("the test part is the last ") for line in outcome.lines)
    assert "54 images for training, 6 for validation, 20 for testing" in outcome.lines
    assert outcome.lines[-2] == "test accuracy: 1.0000"
    assert "set: the 20 test images of 80" in chainrule("evaluate", "latest").out
    assert "train-images-idx3-ubyte: 60 images" in chainrule("evaluate", "latest", path).out
    assert len(chainrule("predict", "latest", path).lines) == 61


def test_a_named_set(chainrule: Command, arrays: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    x, y = arrays
    (tmp_path / "fashion").mkdir()
    for part, rows in (("train-", slice(60)), ("t10k-", slice(60, 80))):
        write_pair(tmp_path / "fashion", part, x[rows], y[rows], ".gz")
    outcome = chainrule("train", "fashion-mnist", "--data-dir", "fashion", *QUICK)
    assert outcome.status == 0, outcome.err
    assert outcome.lines[-1].endswith("-fashion-mnist")
    assert "fashion-mnist: the 20 test images of 80" in chainrule("evaluate", "latest").out
    Image.fromarray(x[0]).save(tmp_path / "one.png")
    assert "prediction: T-shirt/top" in chainrule("predict", "latest", "one.png").out
    assert "did you mean" in chainrule("train", "fashion-mnits").err


def test_archives(chainrule: Command, arrays: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    x, y = arrays
    names = np.array(["down", "across"])[y]
    np.savez(tmp_path / "a.npz", x=x, y=names)
    train(chainrule, "a.npz", *QUICK)
    np.savez(tmp_path / "b.npz", x=np.repeat(np.repeat(x, 2, 1), 2, 2)[..., None].repeat(3, 3), y=y)
    assert "images of 16 x 16 pixels, expected 8 x 8" in chainrule("evaluate", "latest", "b.npz").err
    outcome = chainrule("evaluate", "latest", "b.npz", "--resize")  # numbers of classes; RGB
    assert outcome.lines[-1] == "accuracy: 0.0000"  # 0 is the first class by name, across
    np.savez(tmp_path / "c.npz", x=x, y=y)
    table = chainrule("train", "c.npz", "--target", "y", *QUICK)  # a column was named: a table
    assert "c: 80 rows, 64 features" in table.lines


def stripes(low: float, high: float, dtype: type, count: int = 60) -> np.ndarray:
    """Pictures (n, 8, 8) of stripes down and across in turn, in two shades with some noise."""
    rng = np.random.default_rng(3)
    wave = np.where(np.arange(8) % 4 < 2, high, low)
    down = np.broadcast_to(wave, (count, 8, 8)).copy()
    down[1::2] = down[1::2].transpose(0, 2, 1)
    return (down + rng.normal(0, (high - low) / 20, down.shape)).astype(dtype)


def test_contrast_of_16_bits_is_learnt(chainrule: Command, tmp_path: Path) -> None:
    """120 counts of 65,536 are all there is to see, and a network trained on them takes no pictures of 8 bits."""
    for i, pixels in enumerate(stripes(51640, 51760, np.uint16)):
        (tmp_path / "heat" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "heat" / "ab"[i % 2] / f"{i}.png")
    outcome = chainrule("train", "heat", "--augment", "shift:1", *QUICK)
    assert outcome.lines[-2] == "test accuracy: 1.0000"
    assert chainrule("evaluate", "latest", "heat", "--all-rows").lines[-1] == "accuracy: 1.0000"
    assert chainrule("predict", "latest", "heat/b/1.png").lines[-1].startswith("prediction: b")
    Image.fromarray(stripes(40, 200, np.uint8)[0]).save(tmp_path / "plain.png")
    plain = chainrule("predict", "latest", "plain.png")
    assert (
        "plain.png: uint8 pixels are multiplied by 257, as the training images hold brightness of 0 to 65535"
        in plain.err
    )


@pytest.mark.parametrize(("trained", "given"), [("uint8", "uint16"), ("uint16", "uint8"), ("float32", "uint8")])
def test_a_picture_is_the_same_in_any_company(chainrule: Command, tmp_path: Path, trained: str, given: str) -> None:
    """A dark picture and a bright one, of other depth than those of the training, alone and together."""
    full = {"uint8": 255, "uint16": 65535, "float32": 1.0}
    x = np.concatenate([stripes(0.1, 0.2, np.float64, 40), stripes(0.5, 0.9, np.float64, 40)])
    y = np.array(["down", "across"])[np.arange(80) % 2]
    np.savez(tmp_path / "a.npz", x=(x * full[trained]).astype(trained), y=y)
    train(chainrule, "a.npz", *QUICK)
    for name, row in (("dark", 0), ("bright", 41)):
        Image.fromarray((x[row] * full[given]).astype(given)).save(tmp_path / f"{name}.png")
    both = chainrule("predict", "latest", "dark.png", "bright.png")
    rows = list(csv.DictReader(io.StringIO(both.out)))
    assert [row["prediction"] for row in rows] == ["down", "across"]
    assert f"{given} pixels are " in both.err
    for name, row in zip(("dark", "bright"), rows, strict=True):
        chainrule("predict", "latest", f"{name}.png", "--out", "alone.csv")
        alone = next(csv.DictReader(io.StringIO((tmp_path / "alone.csv").read_text())))
        assert float(alone["probability down"]) == pytest.approx(float(row["probability down"]), rel=1e-4)


def test_one_pixel_beyond_the_scale_changes_nothing(chainrule: Command, tmp_path: Path) -> None:
    x, y = stripes(0.2, 0.8, np.float64), np.arange(60) % 2
    x[45, 0, 0] = 1.0000000000000002
    np.savez(tmp_path / "a.npz", x_train=x[:40], y_train=y[:40], x_test=x[40:], y_test=y[40:])
    outcome = chainrule("train", "a.npz", *QUICK)
    assert outcome.lines[-2] == "test accuracy: 1.0000"
    assert any("taken as brightness of 0 to 1" in line for line in outcome.lines)
    np.savez(tmp_path / "b.npz", x=x * 255, y=y)
    refused = chainrule("evaluate", "latest", "b.npz")
    assert refused.status == 2
    assert "b.npz: row 1 holds" in refused.err
    assert "the training images hold brightness of 0 to 1: bring the images to the same scale" in refused.err
    np.savez(tmp_path / "c.npz", x=(x * 255).astype(np.uint8), y=y)
    converted = chainrule("evaluate", "latest", "c.npz")
    assert converted.lines[-1] == "accuracy: 1.0000"
    assert "c.npz: uint8 pixels are divided by 255, as the training images hold brightness of 0 to 1" in converted.lines


def test_parts_are_the_split(chainrule: Command, photos: Path, tmp_path: Path) -> None:
    for i, path in enumerate(sorted(photos.glob("*/*.png"))):
        place = tmp_path / "set" / ("Train", "VAL", "Train", "Train")[i % 4] / path.parent.name
        place.mkdir(parents=True, exist_ok=True)
        path.rename(place / path.name)
    outcome = chainrule("train", "set", *QUICK)
    assert outcome.lines[0] == "set: Train and VAL are parts, not classes"
    assert "test images are drawn from the training part" in outcome.lines
    assert "48 images for training, 20 for validation, 12 for testing" in outcome.lines
    assert outcome.lines[-2] == "test accuracy: 1.0000"
    assert "set: the 12 test images of 80; the others were used in training" in chainrule("evaluate", "latest").lines
    assert chainrule("evaluate", "latest", "set/VAL").lines[-1] == "accuracy: 1.0000"
    next((tmp_path / "set" / "VAL" / "down").iterdir()).unlink()
    other = chainrule("evaluate", "latest", "set")
    assert "set: 79 images, of all its parts" in other.lines


def test_augmentation(chainrule: Command, photos: Path) -> None:
    augment = "augment=shift:1,flip,crop:0.9,rotate:5,cutout:2"
    first = train(chainrule, photos, augment, "threads=1", *QUICK)
    again = train(chainrule, "--config", first / "config.yaml", "threads=2")
    plain = train(chainrule, photos, *QUICK)
    weights = [(run / "model.safetensors").read_bytes() for run in (first, again, plain)]
    assert weights[0] == weights[1] != weights[2]


def test_without_test_part_and_with_many_classes(chainrule: Command, photos: Path) -> None:
    run = train(chainrule, photos, "test_size=0", *QUICK)
    assert {p.name for p in run.glob("*.png")} == FIGURES - {"confusion.png", "samples.png"}


def one_class(folder: Path) -> None:
    (folder / "only").mkdir(parents=True)
    Image.new("L", (4, 4)).save(folder / "only" / "a.png")


def bomb(folder: Path) -> None:
    from tests.data.images.test_folder import files

    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        (folder / name / "bomb.png").write_bytes(files()["bomb"][0])


MISTAKES = {
    "empty folder": (Path.mkdir, [], "holds neither pictures nor folders: expected class/name.png"),
    "one class": (one_class, [], "holds one class only, only"),
    "bomb": (bomb, [], "bomb.png: has more than 64,000,000 pixels"),
    "nothing but bombs": (bomb, ["--broken", "skip"], "none of the 2 pictures can be read"),
    "target": (one_class, ["--target", "y"], "target: does not apply, f is images"),
    "regress": (one_class, ["--task", "regress"], "task: regress does not apply, f is images"),
    "image size 0": (one_class, ["--image-size", "0"], "image_size is '0', expected pixels such as 32 or 24x32"),
    "image size 8x": (one_class, ["--image-size", "8x"], "image_size is '8x'"),
    "image size too large": (one_class, ["--image-size", "100000"], "each 1 to 4,096"),
    "broken": (one_class, ["--broken", "maybe"], "broken is 'maybe', expected one of refuse, skip"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes(chainrule: Command, tmp_path: Path, case: str) -> None:
    make, options, words = MISTAKES[case]
    make(tmp_path / "f")
    before = set(tmp_path.rglob("*"))
    outcome = chainrule("train", "f", *options, *QUICK)
    assert outcome.status == 2, outcome
    assert words in outcome.err
    assert outcome.err.count("\n") == 1
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--augment", "shft:2"], 'augment: "shft:2" is unknown: did you mean "shift"?'),
        (["--augment", "shift:x"], "expected a number after the colon"),
        (["--augment", "shift:1.5"], "Shift: pixels is 1.5"),
        (["--augment", "flip:1"], "flip takes no number"),
        (["--augment", "rotate:0"], "Rotate: degrees is 0"),
    ],
)
def test_mistakes_in_augmentation(chainrule: Command, photos: Path, options: list[str], words: str) -> None:
    outcome = chainrule("train", photos, *options, *QUICK)
    assert outcome.status == 2
    assert words in outcome.err
    assert not Path("runs").exists()


@pytest.mark.parametrize("option", ["image_size=8", "augment=flip", "data_dir=x"])
def test_tables_have_no_images(chainrule: Command, flowers: Path, option: str) -> None:
    outcome = chainrule("train", flowers, "--target", "kind", option, *QUICK)
    assert outcome.status == 2
    assert f"{option.split('=')[0]}: does not apply" in outcome.err
    assert "is a table: leave it out" in outcome.err


def test_images_for_a_run_of_a_table(chainrule: Command, flowers: Path, photos: Path) -> None:
    train(chainrule, flowers, "--target", "kind", *QUICK)
    outcome = chainrule("predict", "latest", photos / "down" / "0.png")
    assert outcome.status == 2
    assert "is not a known table format" in outcome.err


def test_a_table_for_a_run_of_images(chainrule: Command, flowers: Path, photos: Path) -> None:
    train(chainrule, photos, *QUICK)
    outcome = chainrule("evaluate", "latest", flowers)
    assert outcome.status == 2
    assert "holds no readable images" in outcome.err


def test_names_of_any_kind(chainrule: Command, photos: Path, tmp_path: Path) -> None:
    """Names that Matplotlib, the terminal or the file system would take for something else come through as they are."""
    whole = tmp_path / "50$ or 60$"
    photos.rename(whole)
    (whole / "down").rename(whole / "$a$ [b]_")
    (whole / "across").rename(os.fsdecode(os.fsencode(whole) + b"/_\xff$x^$"))
    for path in (whole / "$a$ [b]_").iterdir():
        path.rename(path.with_name(f"$\\frac{{{path.stem}$ [red]中.png"))
    outcome = chainrule("train", whole, *QUICK)
    assert outcome.status == 0, outcome.err
    assert {p.name for p in (tmp_path / outcome.lines[-1].removeprefix("run: ")).glob("*.png")} == FIGURES
    assert any("$a$ [b]_" in line for line in outcome.lines)
    rows = list(csv.DictReader(io.StringIO(chainrule("predict", "latest", whole / "$a$ [b]_").out)))
    assert rows[0]["file"].startswith("$\\frac{")
    assert rows[0]["prediction"] == "$a$ [b]_"
    assert "probability _\\udcff$x^$" in rows[0]
