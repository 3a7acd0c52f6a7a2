"""What both directions share: camelCase and snake_case mean the same at every level, and nesting has an end."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

MAX_DEPTH = 64


@cache
def snake_case(name: str) -> str:
    """`aspectRatio` as `aspect_ratio`; for names of our own only, since every one is remembered."""
    return re.sub(r"([A-Z])", lambda found: "_" + found[0].lower(), name)


def get(message: Mapping[str, Any], name: str) -> Any:
    """The field of this camelCase name in either spelling; null counts as absent, as protobuf has it."""
    value = message.get(name)
    return message.get(snake_case(name)) if value is None else value


def is_deeper_than(value: object, limit: int = MAX_DEPTH) -> bool:
    """Whether lists and objects are nested more than `limit` deep; walks level by level, never recursively."""
    level = [value]
    for _ in range(limit):
        level = [child for node in level if isinstance(node, list | dict) for child in _children(node)]
        if not level:
            return False
    return any(isinstance(node, list | dict) for node in level)


def _children(node: list[Any] | dict[str, Any]) -> Any:
    return node.values() if isinstance(node, dict) else node
