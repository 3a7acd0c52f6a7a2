"""Reading a message of the protocol field by field, with the problems in Google's wording."""

from collections.abc import Collection
from typing import Any

from accounts.errors import FieldError
from generations.errors import shown
from generations.spec import text_problem
from generations.wire.spelling import snake_case


def as_list(value: object) -> list[Any]:
    """A repeated field, where a single message may stand for a list of one and null for none."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


class FieldReader:
    """Keeps the problems of one request; paths are spelled in snake_case, as Google's messages have them."""

    def __init__(self) -> None:
        self.problems: list[FieldError] = []

    def path(self, parent: str, name: str) -> str:
        """The path of a field given by its camelCase name."""
        return f"{parent}.{snake_case(name)}" if parent else snake_case(name)

    def refuse(self, path: str, message: str) -> None:
        """Keep one problem."""
        self.problems.append(FieldError(path, message))

    def invalid(self, path: str, expected: str, value: object) -> None:
        """A value of the wrong type or outside its range."""
        self.refuse(path, f"Invalid value at '{path}' ({expected}), {shown(value)}")

    def unoffered(self, parent: str, name: str) -> None:
        """A field that the protocol has and this server does not carry."""
        path = self.path(parent, name)
        self.refuse(path, f"* GenerateContentRequest.{path}: {name} is not offered by this server yet; leave it out.")

    def read_message(
        self, value: object, path: str, known: Collection[str], *, unoffered: Collection[str] = ()
    ) -> dict[str, Any]:
        """An object's fields by camelCase name, nulls left out; every other name in it is refused."""
        if not isinstance(value, dict):
            self.invalid(path, "an object", value)
            return {}
        names = {spelling: name for name in (*known, *unoffered) for spelling in (name, snake_case(name))}
        message: dict[str, Any] = {}
        for spelled, field in value.items():
            name = names.get(spelled)
            if name is None:
                self._unknown(spelled, path)
            elif name in unoffered:
                self.unoffered(path, name)
            elif name in message:
                problem = f"Field {shown(spelled)} is given twice."
                self.refuse(self.path(path, name), f"Invalid JSON payload received. {problem}")
            elif field is not None:
                message[name] = field
        return message

    def _unknown(self, spelled: str, path: str) -> None:
        at = f" at '{path}'" if path else ""
        field = f"{path}.{spelled[:100]}" if path else spelled[:100]
        self.refuse(field, f"Invalid JSON payload received. Unknown name {shown(spelled)}{at}: Cannot find field.")

    def check_texts(self, value: object, path: str) -> None:
        """Refuse texts anywhere in a value that could not be stored or sent; nesting was limited before."""
        if isinstance(value, str) and (problem := text_problem(value)):
            self.refuse(path, f"Invalid value at '{path}' (TYPE_STRING): it {problem}.")
        elif isinstance(value, list):
            for index, item in enumerate(value):
                self.check_texts(item, f"{path}[{index}]")
        elif isinstance(value, dict):
            for key, item in value.items():
                self.check_texts(key, path)
                self.check_texts(item, path)
