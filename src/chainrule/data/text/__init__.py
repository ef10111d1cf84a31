"""Text: files, vocabularies, and the windows that a language model is trained on."""

from chainrule.data.text.named import holds_text, load_text
from chainrule.data.text.reading import read_text
from chainrule.data.text.text import Text
from chainrule.data.text.vocabulary import Bytes, Characters, Vocabulary, Words
from chainrule.data.text.windows import Windows

__all__ = ["Bytes", "Characters", "Text", "Vocabulary", "Windows", "Words", "holds_text", "load_text", "read_text"]
