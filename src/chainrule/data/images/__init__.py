"""IDX files, NumPy archives, folders of pictures, data sets by name -> uint8 arrays (n, h, w, c) and classes."""

from chainrule.data.images.dataset import Images, Reading
from chainrule.data.images.folder import read_pictures
from chainrule.data.images.idx import read_idx
from chainrule.data.images.preparation import ImageParts, ImagePreparation, prepare_images
from chainrule.data.images.source import holds_images, read_images

__all__ = [
    "ImageParts",
    "ImagePreparation",
    "Images",
    "Reading",
    "holds_images",
    "prepare_images",
    "read_idx",
    "read_images",
    "read_pictures",
]
