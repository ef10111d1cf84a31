"""Networks from the literature and plain counterparts, each a short function that returns a model.

Outputs are logits, for `nn.CrossEntropyLoss`. Language models take tokens, the size of their vocabulary first. All
others take images; `image` is the shape of one, (height, width, channels). They take `image` and `classes` first,
except `resnet`, which takes its depth first, as in the literature: `resnet(110, image, classes)`.
"""

from chainrule.models.gpt import gpt
from chainrule.models.language import recurrent_language_model
from chainrule.models.lenet import lenet5
from chainrule.models.plain import plain_cnn, plain_mlp
from chainrule.models.resnet import resnet, resnet20, resnet32, resnet56
from chainrule.models.small import small_cnn

__all__ = [
    "gpt",
    "lenet5",
    "plain_cnn",
    "plain_mlp",
    "recurrent_language_model",
    "resnet",
    "resnet20",
    "resnet32",
    "resnet56",
    "small_cnn",
]
