"""Words ``key=value`` of commands that run no recipe, as values by key."""

from collections.abc import Sequence
from typing import Any

from lidistill.errors import ConfigError
from lidistill.reading.names import shown
from lidistill.reading.yaml_text import parse_yaml


def parsed_settings(words: Sequence[str], *, example: str) -> dict[str, Any]:
    """Values, which are YAML, by their keys.

    Args:
        words: As on the command line; of two with one key the later counts.
        example: What one may look like, for the message.

    Raises:
        ConfigError: If one is no ``key=value``, or its value no YAML.
    """
    values: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key:
            msg = f"found {shown(word)}, expected key=value, for example {example}."
            raise ConfigError(msg)
        try:
            values[key] = parse_yaml(text)
        except ValueError as error:
            msg = f"the value of {shown(word)} is not YAML ({error}); put quotes around it."
            raise ConfigError(msg) from error
    return values
