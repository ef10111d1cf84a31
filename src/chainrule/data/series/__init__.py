"""Series: the rows of a table in order of time, and the windows that a forecaster is trained on."""

from chainrule.data.series.changes import Changes
from chainrule.data.series.series import Series, as_series
from chainrule.data.series.windows import Forecasts, walk_forward

__all__ = ["Changes", "Forecasts", "Series", "as_series", "walk_forward"]
