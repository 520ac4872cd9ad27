"""Seeds that are words or example images: what the page asks for, and the direction it gets."""

import base64
import binascii
import threading
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from lidistill.errors import ConfigError
from lidistill.images.files import decode_image
from lidistill.viewer.content import Content
from lidistill.viewer.models import ViewedModel
from lidistill.viewer.saving import validated

_MAX_WORDS: Final = 200
_MAX_IMAGE: Final = 7_000_000  # characters of base64: five megabytes


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    format: Literal[1]
    model: Annotated[int, Field(ge=0)]
    text: Annotated[str, Field(min_length=1, max_length=_MAX_WORDS)] | None = None
    image: Annotated[str, Field(max_length=_MAX_IMAGE)] | None = None


class Asker:
    """Answers one query after the other: a teacher or text encoder is large.

    Args:
        content: What the page shows.
    """

    def __init__(self, content: Content) -> None:
        self._content = content
        self._lock = threading.Lock()

    def ask(self, values: Any) -> dict[str, Any]:
        """The direction of some words or of an image.

        Args:
            values: ``{format, model, text}`` or ``{format, model, image}`` as the page sends them,
                the image a JPEG or PNG in base64.

        Returns:
            ``vector``: 64 whole numbers from -127 to 127, in the basis of the space ``head``.

        Raises:
            ConfigError: If the values ask for nothing that this page can answer.
            FileFormatError: If the image cannot be decoded.
        """
        asked = validated(_Query, values)
        if (asked.text is None) == (asked.image is None):
            msg = "a query holds either a text or an image."
            raise ConfigError(msg)
        if asked.model >= len(self._content.models):
            msg = f"there is no network {asked.model} here."
            raise ConfigError(msg)
        model = self._content.models[asked.model]
        with self._lock:
            if asked.text is not None:
                return {"vector": _of_text(model, asked.text)}
            return {"vector": _of_image(model, asked.image or "")}


def _of_text(model: ViewedModel, words: str) -> list[int]:
    if model.queries.text is None:
        msg = (
            f"{model.name} has no text partner; start with --text FOLDER of its teacher's partner."
        )
        raise ConfigError(msg)
    return model.code_of(model.queries.text(words))


def _of_image(model: ViewedModel, encoded: str) -> list[int]:
    if model.queries.image is None:
        msg = f"the teacher of {model.name} is not here; images cannot be looked for."
        raise ConfigError(msg)
    try:
        content = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        msg = "the image is no base64."
        raise ConfigError(msg) from error
    return model.code_of(model.queries.image(decode_image(content)))
