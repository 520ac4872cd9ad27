"""YAML that is not trusted: recipes, overrides, calibrations and tables.

The text is parsed to nodes, and the nodes are checked before anything is built from them.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import yaml

from lidistill.reading.names import shown
from lidistill.reading.text import decode_text

MAX_BYTES: Final = 1 << 20
"""Longest text; the largest shipped recipe has 6 kB."""
MAX_VALUES: Final = 100_000
"""Values that a text stands for, with every alias written out."""
_MAX_DEPTH: Final = 50
_TOO_DEEP: Final = f"nested deeper than {_MAX_DEPTH} levels"
_MAX_DIGITS: Final = 40
_NUMBERS: Final = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_SCALARS: Final = ("null", "bool", "int", "float", "str")
_TAGS: Final = {
    yaml.ScalarNode: {f"tag:yaml.org,2002:{kind}" for kind in _SCALARS},
    yaml.SequenceNode: {"tag:yaml.org,2002:seq"},
    yaml.MappingNode: {"tag:yaml.org,2002:map"},
}
_TIMESTAMP: Final = "tag:yaml.org,2002:timestamp"


class _Loader(yaml.SafeLoader):
    """YAML 1.1 in which 1e-3 is a number and a date is a text, as everybody expects.

    What is nested too deep is refused as soon as it is met: every level costs what all before it
    cost together.
    """

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """A node with all its parts; PyYAML's composer calls this for each of them."""
        if self._depth >= _MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem=_TOO_DEEP, problem_mark=self.peek_event().start_mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+"), list("-+0123456789")
)
_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != _TIMESTAMP]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}


def parse_yaml(text: str | bytes) -> Any:
    """Value of a YAML text: mappings with plain keys, lists, numbers, texts; no two share a part.

    Aliases are allowed as far as they stand for something small. Merges (``<<``), tags of other
    types, keys that are no plain value or stand twice are refused.

    Raises:
        ValueError: In one short line, if it is no such text.
    """
    if len(text) > MAX_BYTES:
        msg = f"it has {len(text)} bytes, expected at most {MAX_BYTES}"
        raise ValueError(msg)
    loader = None
    try:
        loader = _Loader(decode_text(text) if isinstance(text, bytes) else text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check(node)
        return _value(loader, node)
    except yaml.YAMLError as error:
        raise ValueError(_line(error)) from error
    except (AttributeError, TypeError, LookupError, OverflowError) as error:
        # PyYAML's own slips on values that do not fit their tag, such as !!bool foo.
        msg = "a value does not fit its tag"
        raise ValueError(msg) from error
    finally:
        if loader is not None:
            loader.dispose()


def _line(error: yaml.YAMLError) -> str:
    if not isinstance(error, yaml.MarkedYAMLError):
        return " ".join(str(error).split())[:200]
    mark = error.problem_mark or error.context_mark
    where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    what = " ".join(f"{error.context or ''} {error.problem or ''}".split())
    return f"{''.join(c for c in what if c.isprintable())[:200]}{where}"


def _check(root: yaml.Node) -> None:
    """Compare extent, depth, tags and keys with bounds; linear in the nodes that were written."""
    extent: dict[int, int] = {}  # values that a finished node stands for
    open_nodes: set[int] = set()
    stack: list[tuple[yaml.Node, Iterator[yaml.Node]]] = []

    def enter(node: yaml.Node) -> None:
        _check_node(node)
        if len(stack) >= _MAX_DEPTH:
            raise ValueError(_at(node) + _TOO_DEEP)
        open_nodes.add(id(node))
        stack.append((node, iter(_parts(node))))

    enter(root)
    while stack:
        node, parts = stack[-1]
        for part in parts:
            if id(part) in open_nodes:
                msg = f"{_at(node)}an alias refers to what it is a part of"
                raise ValueError(msg)
            if id(part) not in extent:
                enter(part)
                break
        else:
            stack.pop()
            open_nodes.discard(id(node))
            extent[id(node)] = 1 + sum(extent[id(part)] for part in _parts(node))
            if extent[id(node)] > MAX_VALUES:
                msg = f"it stands for more than {MAX_VALUES} values; write it out without aliases"
                raise ValueError(msg)


def _parts(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _check_node(node: yaml.Node) -> None:
    if node.tag not in _TAGS[type(node)]:
        tag = shown(node.tag.removeprefix("tag:yaml.org,2002:"))
        msg = f"{_at(node)}the tag {tag} is not used here"
        raise ValueError(msg)
    if node.tag in _NUMBERS and len(node.value) > _MAX_DIGITS:
        msg = f"{_at(node)}a number of {len(node.value)} digits"
        raise ValueError(msg)
    if isinstance(node, yaml.ScalarNode) and "\0" in node.value:
        msg = f"{_at(node)}{shown(node.value)} holds a zero byte, which no name or path does"
        raise ValueError(msg)
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                msg = f"{_at(key)}a key is a list or a mapping, expected a name or a number"
                raise ValueError(msg)  # noqa: TRY004  whoever reads a file catches one error
            if (key.tag, key.value) in seen:
                msg = f"{_at(key)}the key {shown(key.value)} stands there twice"
                raise ValueError(msg)
            seen.add((key.tag, key.value))


def _value(loader: _Loader, node: yaml.Node) -> Any:
    """The value of a checked node; built anew at every alias, so that no two places share it."""
    if isinstance(node, yaml.MappingNode):
        return {_value(loader, key): _value(loader, value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_value(loader, part) for part in node.value]
    try:
        return loader.construct_object(node)
    except (ValueError, LookupError, AttributeError, TypeError) as error:
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        msg = f"{_at(node)}{shown(node.value)} is no {kind}"
        raise ValueError(msg) from error


def _at(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}: "
