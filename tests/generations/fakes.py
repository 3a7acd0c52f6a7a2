"""An upstream that says what a test wants, in the same shapes as the real one and through the same spool."""

import base64
import io
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import orjson
from PIL import Image

from generations.providers.answer import Answer, durable_file, write_head
from generations.providers.base import NOTHING, Brought, Provider, ProviderError
from generations.spec import GenerationSpec
from generations.wire import gemini
from generations.wire.gemini import Piece
from generations.wire.reply import ParsedReply


def png(colour: str = "teal", size: tuple[int, int] = (16, 16)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def reply(*parts: dict, finish: str = "STOP", **candidate: object) -> dict:
    """A 200's body with these parts."""
    return {
        "candidates": [
            {"index": 0, "finishReason": finish, "content": {"role": "model", "parts": list(parts)}, **candidate}
        ],
        "usageMetadata": {"promptTokenCount": 4, "totalTokenCount": 4},
        "responseId": "response-1",
    }


def picture(data: bytes | str = b"", **part: object) -> dict:
    text = data if isinstance(data, str) else base64.b64encode(data or png()).decode()
    return {"inlineData": {"mimeType": "image/png", "data": text}, **part}


def error(code: int, status: str, message: str = "no", details: list | None = None) -> tuple[int, dict]:
    return code, {"error": {"code": code, "status": status, "message": message, "details": details or []}}


Script = dict | tuple[int, dict] | ProviderError | Callable[[], object]


@dataclass
class ScriptedProvider(Provider):
    """Answers with the next entry of `script`, the last one again and again; `calls` counts what was paid for."""

    script: deque[Script] = field(default_factory=lambda: deque([reply(picture())]))
    name: str = "wisgate"
    key_count: int = 1
    calls: list[int] = field(default_factory=list)

    def says(self, *script: Script) -> "ScriptedProvider":
        self.script = deque(script)
        return self

    def upstream_model(self, spec: GenerationSpec) -> str:
        return spec.model

    def send(
        self,
        spec: GenerationSpec,
        *,
        key_index: int,
        timeout_s: float,
        spool_path: Path,
        brought: Brought = NOTHING,
        on_piece: Callable[[Piece], None] | None = None,
    ) -> Answer:
        self.calls.append(key_index)
        entry = self.script.popleft() if len(self.script) > 1 else self.script[0]
        if callable(entry):
            entry = entry()
        if isinstance(entry, ProviderError):
            raise entry
        status, body = entry if isinstance(entry, tuple) else (200, entry)
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        headers = {"x-request-id": f"upstream-{len(self.calls)}"}
        if status != 200:
            return Answer(status=status, headers=headers, elapsed_ms=7, body=content)
        with durable_file(spool_path) as file:
            offset = write_head(file, status=status, headers=headers)
            file.write(content)
        return Answer(status=status, headers=headers, elapsed_ms=7, path=spool_path, offset=offset)

    def read(self, answer: Answer, *, count: int = 1) -> ParsedReply:
        return gemini.parse_response(answer.status, answer.headers, answer.read_body())
