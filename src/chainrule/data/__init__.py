"""Tables, images, texts and named data sets to arrays, split and scaled; augmentation."""

from chainrule.data.augmentation import Augmentation, Crop, CutOut, Flip, Rotate, Shift
from chainrule.data.digits import digits_table, load_digits
from chainrule.data.images import Images, Reading, read_idx, read_images
from chainrule.data.preparation import Parts, Preparation, prepare, prepare_images, prepare_text
from chainrule.data.scaling import Scaling
from chainrule.data.sources import load_table
from chainrule.data.split import Split, split_rows
from chainrule.data.tables import Table, read_table
from chainrule.data.text import Text, load_text, read_text

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
    "Text",
    "digits_table",
    "load_digits",
    "load_table",
    "load_text",
    "prepare",
    "prepare_images",
    "prepare_text",
    "read_idx",
    "read_images",
    "read_table",
    "read_text",
    "split_rows",
]
