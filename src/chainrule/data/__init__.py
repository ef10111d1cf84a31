"""Tables and bundled sets -> arrays, split and scaled."""

from chainrule.data.digits import digits_table, load_digits
from chainrule.data.preparation import Parts, Preparation, prepare
from chainrule.data.scaling import Scaling
from chainrule.data.sources import load_table
from chainrule.data.split import Split, split_rows
from chainrule.data.tables import Table, read_table

__all__ = [
    "Parts",
    "Preparation",
    "Scaling",
    "Split",
    "Table",
    "digits_table",
    "load_digits",
    "load_table",
    "prepare",
    "read_table",
    "split_rows",
]
