"""Tensors that remember the ops that made them, and backpropagation over that memory."""

# Tensors are made of ops and ops make tensors: whichever module is asked for first, the class comes first.
import chainrule.autodiff.tensor  # noqa: F401
