"""The turns of a native request: the last one is the prompt, those before it are history."""

from typing import Any

from generations.errors import shown
from generations.wire.gemini.fields import FieldReader, as_list

_ROOT = "GenerateContentRequest"
_PART_FIELDS = ("text", "thought", "thoughtSignature")
_UNOFFERED_PARTS = (
    *("inlineData", "fileData", "functionCall", "functionResponse", "executableCode", "codeExecutionResult"),
    *("videoMetadata", "mediaResolution", "partMetadata", "toolCall", "toolResponse"),
)


class ContentReader:
    """Reads turns of text, keeping what is wrong with them in the request's own reader."""

    def __init__(self, fields: FieldReader) -> None:
        self.fields = fields

    def read_contents(self, value: object) -> tuple[list[dict[str, Any]], str | None]:
        """The earlier turns and the text of the last one; None if there is no last turn to take it from."""
        if value is None or value == []:
            self.fields.refuse("contents", f"* {_ROOT}.contents: contents is not specified")
            return [], None
        turns = [self._read_turn(item, f"contents[{index}]") for index, item in enumerate(as_list(value))]
        *history, last = turns
        if last["role"] == "model":
            problem = "Please ensure that multiturn requests end with a turn of the user."
            self.fields.refuse("contents", f"* {_ROOT}.contents: {problem}")
            return history, None
        path = f"contents[{len(history)}]"
        for index, part in enumerate(last["parts"]):
            for name in part.keys() - {"text"}:
                # A prompt is text; what hangs on its parts would be lost without a word.
                self.fields.unoffered(f"{path}.parts[{index}]", name)
        texts = [part["text"] for part in last["parts"] if isinstance(part.get("text"), str)]
        return history, "\n".join(texts) if texts else None

    def read_system_instruction(self, value: object) -> dict[str, Any] | None:
        """The system instruction in its canonical spelling."""
        if value is None:
            return None
        return self._read_turn(value, "system_instruction", roles=("user", "model", "system"))

    def _read_turn(self, value: object, path: str, roles: tuple[str, ...] = ("user", "model")) -> dict[str, Any]:
        content = self.fields.read_message(value, path, ("role", "parts"))
        role = content.get("role") or "user"
        if role not in roles:
            self.fields.refuse(f"{path}.role", f"Please use a valid role: user, model. Not {shown(role)}.")
        parts = as_list(content.get("parts"))
        if not parts and isinstance(value, dict):
            self.fields.refuse(f"{path}.parts", f"* {_ROOT}.{path}.parts: contents.parts must not be empty.")
        return {"role": role, "parts": [self._read_part(part, f"{path}.parts[{i}]") for i, part in enumerate(parts)]}

    def _read_part(self, value: object, path: str) -> dict[str, Any]:
        before = len(self.fields.problems)
        part = self.fields.read_message(value, path, _PART_FIELDS, unoffered=_UNOFFERED_PARTS)
        for name, kind in (("text", str), ("thought", bool), ("thoughtSignature", str)):
            if name in part and not isinstance(part[name], kind):
                expected = "TYPE_BOOL" if kind is bool else "TYPE_STRING"
                self.fields.invalid(self.fields.path(path, name), expected, part[name])
        self.fields.check_texts(part, path)
        if "text" not in part and len(self.fields.problems) == before:
            problem = "required oneof field 'data' must have one initialized field"
            self.fields.refuse(f"{path}.data", f"* {_ROOT}.{path}.data: {problem}")
        return part
