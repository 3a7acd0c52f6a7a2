"""The generateContent request: reading it, and refusing it with the shapes and the words of the upstream."""

import re
from typing import Any

import orjson

from generations.emulator.offer import Model, nearest_ratio, pixels
from generations.emulator.order import (
    INPUT_TYPES,
    MAX_INPUT_IMAGES,
    UNREADABLE_TYPES,
    Order,
    Refusal,
    SentPicture,
    UnreadablePictureError,
    look_at,
)
from generations.emulator.schema import REQUEST, Reader
from generations.emulator.signature import is_signature_of

RPC = "type.googleapis.com/google.rpc"
FIELD = "* GenerateContentRequest."


def error_body(code: int, status: str, message: str, *details: dict) -> dict:
    """A Google error; details are google.rpc messages."""
    error: dict[str, Any] = {"code": code, "message": message, "status": status}
    if details:
        error["details"] = list(details)
    return {"error": error}


def bad_request(*violations: tuple[str, str]) -> Refusal:
    """400 INVALID_ARGUMENT for (field, description) pairs."""
    listed = [{"field": field, "description": text} if field else {"description": text} for field, text in violations]
    detail = {"@type": f"{RPC}.BadRequest", "fieldViolations": listed}
    message = "\n".join(text for _, text in violations)
    return Refusal(400, error_body(400, "INVALID_ARGUMENT", message, detail))


def unauthenticated() -> Refusal:
    """401: the relay's answer to a missing or wrong key (Google itself says 400 or 403)."""
    detail = {
        "@type": f"{RPC}.ErrorInfo",
        "reason": "API_KEY_INVALID",
        "domain": "googleapis.com",
        "metadata": {"service": "generativelanguage.googleapis.com"},
    }
    message = "API key not valid. Please pass a valid API key."
    return Refusal(401, error_body(401, "UNAUTHENTICATED", message, detail))


def not_found(message: str) -> Refusal:
    """404 NOT_FOUND."""
    return Refusal(404, error_body(404, "NOT_FOUND", message))


def unknown_model(name: str, version: str, method: str) -> Refusal:
    """404 for a model that is not sold, or not with this method."""
    return not_found(
        f"models/{name} is not found for API version {version}, or is not supported for {method}. "
        "Call ListModels to see the list of available models and their supported methods."
    )


def parse_request(body: bytes, model: Model, *, streamed: bool = False) -> Order:
    """Read a generateContent body; raises Refusal."""
    message = _read_message(body)
    contents = _check_contents(message.get("contents"), model)
    config = message.get("generation_config", {})
    _check_config(config, model)
    _check_tools(message.get("tools", []), model)
    modalities = _read_modalities(config.get("response_modalities"), model)
    references, edited, count = _look_at_pictures(contents)
    ratio, size = _read_image_config(config.get("image_config", {}), model, [*edited, *references])
    thinking = config.get("thinking_config", {})
    level = thinking.get("thinking_level")
    if level == "THINKING_LEVEL_UNSPECIFIED":
        level = None
    width, height = pixels(ratio, size)
    return Order(
        dialect="native",
        model=model.id,
        prompt=_prompt(contents),
        seed=config.get("seed"),
        ratio=ratio,
        size=size,
        width=width,
        height=height,
        wants_text="TEXT" in modalities,
        wants_image="IMAGE" in modalities,
        thinking=level,
        include_thoughts=bool(thinking.get("include_thoughts")),
        grounded=any("google_search" in tool for tool in message.get("tools", [])),
        input_images=count,
        references=tuple(picture.colour for picture in references),
        edited=edited[-1].tones if edited else None,
        streamed=streamed,
    )


def count_tokens(body: bytes, model: Model) -> dict:
    """The answer of countTokens; raises Refusal."""
    payload = _read_object(body)
    wrapped = payload.get("generateContentRequest", payload.get("generate_content_request"))
    reader = Reader()
    message = reader.read(payload if wrapped is None else wrapped, REQUEST)
    if reader.violations:
        raise bad_request(*reader.violations)
    contents = _check_contents(message.get("contents"), model)
    text = max(1, len(_prompt(contents)) // 4)
    images = 1120 * sum("inline_data" in part for part in contents[-1]["parts"])
    details = [{"modality": "TEXT", "tokenCount": text}]
    details += [{"modality": "IMAGE", "tokenCount": images}] if images else []
    return {"totalTokens": text + images, "promptTokensDetails": details}


def _prompt(contents: list[dict]) -> str:
    return "\n".join(part["text"] for part in contents[-1]["parts"] if "text" in part)


def _look_at_pictures(contents: list[dict]) -> tuple[list[SentPicture], list[SentPicture], int]:
    """The pictures of the last turn, the pictures that the model made before it, and how many the last turn has."""
    sent = [part["inline_data"] for part in contents[-1]["parts"] if "inline_data" in part]
    if len(sent) > MAX_INPUT_IMAGES:
        raise bad_request(("contents", f"Please use at most {MAX_INPUT_IMAGES} images."))
    made = [
        part["inline_data"]
        for content in contents
        if content.get("role") == "model"
        for part in content["parts"]
        if "inline_data" in part and not part.get("thought")
    ]
    try:
        references, edited = (
            [look_at(p["data"]) for p in group if p["mime_type"] not in UNREADABLE_TYPES] for group in (sent, made[-1:])
        )
    except UnreadablePictureError:
        raise bad_request(("contents", "Unable to process input image. Please retry with another image.")) from None
    return references, edited, len(sent)


def _read_object(body: bytes) -> dict:
    try:
        payload = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError as error:
        raise bad_request(("", f"Invalid JSON payload received. {error}")) from None
    if not isinstance(payload, dict):
        raise bad_request(("", 'Invalid JSON payload received. Unknown name "": Root element must be a message.'))
    return payload


def _read_message(body: bytes) -> dict:
    payload = _read_object(body)
    reader = Reader()
    message = reader.read(payload, REQUEST)
    if reader.violations:
        raise bad_request(*reader.violations)
    return message


def _check_contents(contents: list[dict] | None, model: Model) -> list[dict]:
    """The contents up to the last turn of the user."""
    for turn, content in enumerate(contents or []):
        if content.get("role", "user") not in ("user", "model"):
            raise bad_request((f"contents[{turn}].role", "Please use a valid role: user, model."))
        if not content.get("parts"):
            text = f"{FIELD}contents[{turn}].parts: contents.parts must not be empty.\n"
            raise bad_request((f"contents[{turn}].parts", text))
        for index, part in enumerate(content["parts"]):
            _check_part(part, content.get("role", "user"), (turn, index), model)
    asked = [turn for turn, content in enumerate(contents or []) if content.get("role", "user") == "user"]
    if not contents or not asked:
        raise bad_request(("contents", f"{FIELD}contents: contents is not specified\n"))
    return contents[: asked[-1] + 1]


def _check_part(part: dict, role: str, at: tuple[int, int], model: Model) -> None:
    where = f"contents[{at[0]}].parts[{at[1]}]"
    if not part.keys() - {"thought", "thought_signature", "media_resolution"}:
        text = f"{FIELD}{where}.data: required oneof field 'data' must have one initialized field\n"
        raise bad_request((f"{where}.data", text))
    if "inline_data" not in part:
        return
    mime_type = part["inline_data"].get("mime_type", "")
    if not part["inline_data"].get("data"):
        text = f"{FIELD}{where}.inline_data.data: data must not be empty.\n"
        raise bad_request((f"{where}.inline_data.data", text))
    if mime_type not in INPUT_TYPES:
        raise bad_request((f"{where}.inline_data.mime_type", f"Unsupported MIME type: {mime_type}"))
    if role != "model" or part.get("thought"):
        return
    if "thought_signature" in part:
        if not is_signature_of(part["thought_signature"], part["inline_data"]["data"]):
            raise bad_request((f"{where}.thought_signature", "Corrupted thought signature."))
    elif model.history_needs_signatures:
        text = f"Image part is missing a thought_signature in content position {at[0] + 1}, part position {at[1] + 1}."
        raise bad_request((where, text))


def _check_config(config: dict, model: Model) -> None:
    if config.get("candidate_count", 1) != 1:
        text = f"Multiple candidates is not enabled for models/{model.id}"
        raise bad_request(("generation_config.candidate_count", text))
    thinking = config.get("thinking_config", {})
    if "thinking_level" in thinking and "thinking_budget" in thinking:
        text = "You can only set only one of thinking budget and thinking level."
        raise bad_request(("generation_config.thinking_config", text))
    level = thinking.get("thinking_level", "THINKING_LEVEL_UNSPECIFIED")
    if level != "THINKING_LEVEL_UNSPECIFIED" and level not in model.thinking_levels:
        text = f"Thinking level {level} is not supported for this model. Please retry with other thinking level."
        raise bad_request(("generation_config.thinking_config.thinking_level", text))


def _check_tools(tools: list[dict], model: Model) -> None:
    for index, tool in enumerate(tools):
        for name in tool.keys() - {"google_search"}:
            raise bad_request((f"tools[{index}].{name}", f"{name} is not enabled for models/{model.id}"))


def _read_modalities(modalities: list[str] | None, model: Model) -> set[str]:
    """The kinds of part that are asked for; text alone when nothing is said."""
    asked = set(modalities or ["TEXT"]) - {"MODALITY_UNSPECIFIED"} or {"TEXT"}
    if not asked <= {"TEXT", "IMAGE"}:
        text = (
            f"The requested combination of response modalities ({', '.join(sorted(asked))}) is not supported by the "
            f"model. models/{model.id} accepts the following combination of response modalities:\n"
            "* TEXT\n* IMAGE, TEXT\n* IMAGE\n"
        )
        raise bad_request(("generation_config.response_modalities", text))
    return asked


def _read_image_config(config: dict, model: Model, pictures: list[SentPicture]) -> tuple[str, str]:
    ratio, size = config.get("aspect_ratio"), config.get("image_size", "1K")
    path = "generation_config.image_config"
    if ratio is not None and ratio not in model.ratios:
        text = f"{FIELD}{path}.aspect_ratio: aspect_ratio must be one of {_listed(model.ratios)}.\n"
        raise bad_request((f"{path}.aspect_ratio", text))
    if size not in model.sizes:
        text = f"{FIELD}{path}.image_size: image_size must be one of {_listed(model.sizes)}.\n"
        raise bad_request((f"{path}.image_size", text))
    if ratio is None:
        last = pictures[-1] if pictures else None
        ratio = nearest_ratio(last.width, last.height, model.ratios) if last else "1:1"
    return ratio, size


def _listed(values: tuple[str, ...]) -> str:
    quoted = [f"'{value}'" for value in values]
    return ", ".join(quoted[:-1]) + f" or {quoted[-1]}"


def camel_to_snake(value: Any) -> Any:
    """The same JSON with snake_case names."""
    if isinstance(value, dict):
        return {re.sub(r"([A-Z])", r"_\1", name).lower(): camel_to_snake(item) for name, item in value.items()}
    if isinstance(value, list):
        return [camel_to_snake(item) for item in value]
    return value
