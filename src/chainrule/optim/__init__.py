"""Optimizers and learning-rate schedules."""

from chainrule.optim.optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from chainrule.optim.plateau import ReduceOnPlateau
from chainrule.optim.schedules import Constant, Cosine, Exponential, LinearWarmup, OneCycle, Step

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Constant",
    "Cosine",
    "Exponential",
    "LinearWarmup",
    "OneCycle",
    "Optimizer",
    "RMSprop",
    "ReduceOnPlateau",
    "Step",
]
