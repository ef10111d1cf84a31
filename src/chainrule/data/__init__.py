"""Tables, images and named data sets to arrays, split and scaled; augmentation."""

from chainrule.data.augmentation import Augmentation, Crop, CutOut, Flip, Rotate, Shift
from chainrule.data.digits import digits_table, load_digits
from chainrule.data.images import Images, Reading, read_idx, read_images
from chainrule.data.preparation import Parts, Preparation, prepare, prepare_images
from chainrule.data.scaling import Scaling
from chainrule.data.sources import load_table
from chainrule.data.split import Split, split_rows
from chainrule.data.tables import Table, read_table

__all__ = [
    "Augmentation",
    "Crop",
    "CutOut",
    "Flip",
    "Images",
    "Parts",
    "Preparation",
    "Reading",
    "Rotate",
    "Scaling",
    "Shift",
    "Split",
    "Table",
    "digits_table",
    "load_digits",
    "load_table",
    "prepare",
    "prepare_images",
    "read_idx",
    "read_images",
    "read_table",
    "split_rows",
]
