"""Reading and writing models in formats that other software reads."""

from chainrule.interop import safetensors

__all__ = ["safetensors"]
