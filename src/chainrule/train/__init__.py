"""Training: the trainer, its events and history, metrics, early stopping."""

from chainrule.train.early_stopping import EarlyStopping
from chainrule.train.history import History
from chainrule.train.trainer import Trainer

__all__ = ["EarlyStopping", "History", "Trainer"]
