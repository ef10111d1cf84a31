"""Tensors that remember the ops that made them, and backpropagation through those ops."""

# Tensors use ops and ops make tensors: whichever module is imported first, the class comes first.
import chainrule.autodiff.tensor  # noqa: F401
