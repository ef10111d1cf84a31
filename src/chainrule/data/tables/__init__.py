"""CSV, Parquet and NPZ files to columns of numbers or text."""

from chainrule.data.tables.columns import Column
from chainrule.data.tables.files import FORMATS, read_table
from chainrule.data.tables.table import Table

__all__ = ["FORMATS", "Column", "Table", "read_table"]
