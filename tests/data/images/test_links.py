"""Links in folders of pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from chainrule.data.images import Reading, read_images

Image = pytest.importorskip("PIL.Image")


def test_links_and_pipes_are_not_passed_over_in_silence(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "pets", tmp_path / "elsewhere"
    for path in (elsewhere / "0.png", root / "cat" / "0.png", root / "dog" / "0.png"):
        path.parent.mkdir(parents=True)
        Image.new("L", (5, 6)).save(path)
    (root / "bird").symlink_to(elsewhere)  # a class
    (root / "loop").symlink_to(root)
    (root / "cat" / "more").symlink_to(elsewhere)
    (root / "cat" / "gone.png").symlink_to(root / "nowhere.png")
    images = read_images(str(root))
    assert images.names == ("bird", "cat", "dog")
    assert images.notes == (
        f"{root}: skipped 2 links to folders (more, loop)",
        f"{root}: skipped 1 broken link, pipe or the like (gone.png)",
    )
    images = read_images(str(root), Reading(labelled=False))
    assert images.rows == 2
    assert "skipped 3 links to folders (bird, more, loop)" in images.notes[0]
