"""IDX files, NumPy archives, folders of pictures and named data sets to arrays (n, h, w, c) and labels."""

from chainrule.data.images.dataset import Images, Reading
from chainrule.data.images.folder import read_pictures
from chainrule.data.images.idx import read_idx
from chainrule.data.images.source import holds_images, read_images

__all__ = [
    "Images",
    "Reading",
    "holds_images",
    "read_idx",
    "read_images",
    "read_pictures",
]
