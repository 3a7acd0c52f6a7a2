"""Requests: built for the upstream, and read at our own door, where what we cannot do is refused by its field path."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeGuard
from urllib.parse import quote, unquote

from accounts.errors import FieldError
from generations import catalog
from generations.catalog import Model
from generations.errors import UnknownModel, WireError, shown
from generations.spec import MAX_PROBLEMS, MODALITIES, GenerationSpec, canonical_json, is_int32, prompt_problem
from generations.wire.gemini.contents import ContentReader
from generations.wire.gemini.fields import FieldReader, as_list
from generations.wire.inputs import InputImage, Turn, check_inputs
from generations.wire.spelling import is_deeper_than

MAX_NATIVE_BYTES = 262_144
DEFAULT_IMAGE_SIZE = "1K"

_ROOT = "GenerateContentRequest"
_CONFIG = "generation_config"
_REQUEST_FIELDS = ("contents", "systemInstruction", "generationConfig", "safetySettings", "model", "tools")
# Known to the protocol, of no use for a picture, or naming things of the operator's own upstream account.
_UNOFFERED_FIELDS = ("toolConfig", "cachedContent", "labels", "serviceTier", "store", "continuationToken")

_THINKING_LEVELS = frozenset({"MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH"})


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_text_list(value: object) -> bool:
    return isinstance(value, list) and len(value) <= 5 and all(isinstance(item, str) for item in value)


# generationConfig fields that a Generation has no field for: the protocol's name of the type, and its test.
_PASSED_ON: Mapping[str, tuple[str, Callable[[object], bool]]] = {
    "temperature": ("TYPE_FLOAT from 0 to 2", lambda value: _is_number(value) and 0 <= value <= 2),
    "topP": ("TYPE_FLOAT from 0 to 1", lambda value: _is_number(value) and 0 <= value <= 1),
    "topK": ("TYPE_INT32 above 0", lambda value: _is_number(value) and value >= 1),
    "maxOutputTokens": ("TYPE_INT32 above 0", lambda value: is_int32(value) and value >= 1),
    "stopSequences": ("up to five TYPE_STRING", _is_text_list),
    "responseMimeType": ("TYPE_STRING", lambda value: isinstance(value, str)),
    "responseSchema": ("an object", lambda value: isinstance(value, dict)),
    "responseJsonSchema": ("an object", lambda value: isinstance(value, dict)),
    "presencePenalty": ("TYPE_FLOAT", _is_number),
    "frequencyPenalty": ("TYPE_FLOAT", _is_number),
    "mediaResolution": ("TYPE_ENUM", lambda value: isinstance(value, str)),
    "speechConfig": ("an object", lambda value: isinstance(value, dict)),
    "responseLogprobs": ("TYPE_BOOL", lambda value: isinstance(value, bool)),
    "logprobs": ("TYPE_INT32 from 0 to 20", lambda value: is_int32(value) and 0 <= value <= 20),
}
_CONFIG_FIELDS = ("responseModalities", "imageConfig", "thinkingConfig", "candidateCount", "seed", *_PASSED_ON)

_HARM_CATEGORIES = frozenset(
    f"HARM_CATEGORY_{name}"
    for name in (
        *("UNSPECIFIED", "HARASSMENT", "HATE_SPEECH", "SEXUALLY_EXPLICIT", "DANGEROUS_CONTENT"),
        *("CIVIC_INTEGRITY", "JAILBREAK"),
    )
)
_THRESHOLDS = frozenset(
    {"HARM_BLOCK_THRESHOLD_UNSPECIFIED", "BLOCK_LOW_AND_ABOVE", "BLOCK_MEDIUM_AND_ABOVE", "BLOCK_ONLY_HIGH"}
    | {"BLOCK_NONE", "OFF"}
)


def request_path(upstream_model_id: str, *, stream: bool = False) -> str:
    """The path of the call below the upstream's base address, which ends in its API version."""
    method = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return f"/models/{quote(upstream_model_id, safe='')}:{method}"


def build_request(
    spec: GenerationSpec,
    *,
    upstream_size_token: str,
    thinking: str = "off",
    include_thoughts: bool = False,
    grounding: bool = False,
    references: Sequence[InputImage] = (),
    earlier: Sequence[Turn] = (),
) -> dict[str, Any]:
    """The body that asks the upstream for this wish; the modalities are always said, for their default is disputed.

    `thinking` is off, minimal or high; the text comes before the `references`, and the `earlier` turns before both.
    ValueError for more pictures than a request may carry.
    """
    check_inputs(references, earlier)
    native = spec.native_fields()
    history = native.pop("history", [])
    config = native.pop("generationConfig", {}) | {
        "responseModalities": list(spec.modalities),
        "imageConfig": {"aspectRatio": spec.aspect_ratio, "imageSize": upstream_size_token},
    }
    if spec.seed is not None:
        config["seed"] = spec.seed
    if thinking_config := _thinking_config(thinking, include_thoughts):
        config["thinkingConfig"] = thinking_config
    if grounding:
        # The articles' spelling; the protocol takes either.
        native["tools"] = [{"google_search": {}}]
    prompt = {"role": "user", "parts": [{"text": spec.prompt}, *map(_image_part, references)]}
    turns = [*history, *map(_build_turn, earlier), prompt]
    return {"contents": turns, "generationConfig": config, **native}


def _thinking_config(thinking: str, include_thoughts: bool) -> dict[str, Any]:
    config: dict[str, Any] = {} if thinking == "off" else {"thinkingLevel": thinking.upper()}
    # A model that always thinks tells its thoughts without being given a level.
    return config | ({"includeThoughts": True} if include_thoughts else {})


def _build_turn(turn: Turn) -> dict[str, Any]:
    text = {"text": turn.text} | _signed(turn.text_signature)
    has_text = turn.text or turn.text_signature or not turn.images
    parts = [*([text] if has_text else []), *map(_image_part, turn.images)]
    return {"role": turn.role, "parts": parts}


def _image_part(image: InputImage) -> dict[str, Any]:
    return {"inlineData": {"mimeType": image.mime_type, "data": image.data}} | _signed(image.thought_signature)


def _signed(signature: str | None) -> dict[str, str]:
    return {"thoughtSignature": signature} if signature else {}


def parse_request(
    model_from_path: str,
    body: object,
    *,
    default_image_size: str = DEFAULT_IMAGE_SIZE,
    api_version: str = "v1beta",
) -> GenerationSpec:
    """The wish of a native request; WireError names each field that is unknown, wrong or not offered.

    The prompt is the text of the last turn, its parts joined by line breaks; what else a Generation has no field for
    becomes the native remainder.
    """
    model = _read_model(model_from_path, api_version)
    if not isinstance(body, dict):
        raise WireError((FieldError("body", f"Invalid value at 'body' (an object), {shown(body)}"),))
    if is_deeper_than(body):
        raise WireError((FieldError("body", "Invalid JSON payload received. Nested too deeply."),))
    reader = _RequestReader(model, default_image_size)
    spec = reader.read(body)
    if reader.problems:
        raise WireError(tuple(reader.problems[:MAX_PROBLEMS]))
    return spec


def _read_model(model_from_path: str, api_version: str) -> Model:
    name = unquote(model_from_path)
    try:
        return catalog.get_model(name)
    except UnknownModel as error:
        message = (
            f"models/{name.removeprefix('models/')[:100]} is not found for API version {api_version}, or is not "
            "supported for generateContent. Call ListModels to see the list of available models and their "
            "supported methods."
        )
        if error.nearest:
            message += f" Did you mean {error.nearest}?"
        problem = (FieldError("model", message),)
        raise WireError(problem, status=404, code="not_found", rpc_status="NOT_FOUND") from error


class _RequestReader(FieldReader):
    """Reads one request into a spec, keeping every problem in the protocol's own wording."""

    def __init__(self, model: Model, default_image_size: str) -> None:
        super().__init__()
        self.model = model
        self.default_image_size = default_image_size

    def read(self, body: object) -> GenerationSpec:
        """The spec; of no use if problems were found."""
        request = self.read_message(body, "", _REQUEST_FIELDS, unoffered=_UNOFFERED_FIELDS)
        self._check_body_model(request.get("model"))
        contents = ContentReader(self)
        history, prompt = contents.read_contents(request.get("contents"))
        if prompt is not None and (problem := prompt_problem(prompt)):
            self.refuse("contents", f"* {_ROOT}.contents: the prompt {problem}.")
        config = self.read_message(request.get("generationConfig", {}), _CONFIG, _CONFIG_FIELDS)
        aspect_ratio, image_size = self._read_image_config(config.get("imageConfig", {}))
        self._check_candidate_count(config.get("candidateCount", 1))
        thinking, include_thoughts = self._read_thinking(config.get("thinkingConfig", {}))
        remainder = {
            "systemInstruction": contents.read_system_instruction(request.get("systemInstruction")),
            "history": history,
            "generationConfig": self._read_passed_on(config),
            "safetySettings": self._read_safety_settings(request.get("safetySettings", [])),
        }
        return GenerationSpec(
            prompt=(prompt or "").strip(),
            model=self.model.id,
            aspect_ratio=aspect_ratio,
            image_size=image_size,
            modalities=self._read_modalities(config.get("responseModalities", [])),
            grounding=self._read_tools(request.get("tools")),
            thinking=thinking,
            include_thoughts=include_thoughts,
            seed=self._read_seed(config.get("seed")),
            native=self._pack({name: value for name, value in remainder.items() if value}),
        )

    def _pack(self, remainder: dict[str, Any]) -> str:
        try:
            native = canonical_json(remainder)
        except ValueError:  # NaN and Infinity, which some parsers let through
            self.refuse("body", "Invalid JSON payload received. NaN and Infinity are not numbers of JSON.")
            return "{}"
        if len(native) > MAX_NATIVE_BYTES:
            self.refuse("contents", f"* {_ROOT}.contents: history and settings are over {MAX_NATIVE_BYTES} bytes.")
        return native

    def _check_body_model(self, name: object) -> None:
        if name is None:
            return
        try:
            is_same = isinstance(name, str) and catalog.get_model(name) is self.model
        except UnknownModel:
            is_same = False
        if not is_same:
            self.refuse("model", f"* {_ROOT}.model: {shown(name)} is not the model of the path, {self.model.id}.")

    def _read_tools(self, value: object) -> bool:
        """Whether the picture shall rest on a search, the one tool that there is; it has no settings of its own."""
        grounding = False
        for index, tool in enumerate(as_list(value)):
            is_search = tool in ({"googleSearch": {}}, {"google_search": {}})
            if is_search and True in self.model.capabilities.grounding:
                grounding = True
                continue
            names = ", ".join(map(str, tool))[:100] if tool and isinstance(tool, dict) else shown(tool)
            path = f"tools[{index}]"
            self.refuse(path, f"* {_ROOT}.{path}: {names} is not offered by this server yet; leave tools out.")
        return grounding

    def _check_candidate_count(self, count: object) -> None:
        if not is_int32(count):
            self.invalid(f"{_CONFIG}.candidate_count", "TYPE_INT32", count)
        elif count != 1:  # whatever a wish may count: the protocol has one candidate
            self.refuse(f"{_CONFIG}.candidate_count", f"Multiple candidates is not enabled for models/{self.model.id}")

    def _read_thinking(self, value: object) -> tuple[str | None, bool]:
        path = f"{_CONFIG}.thinking_config"
        thinking = self.read_message(value, path, ("includeThoughts", "thinkingLevel", "thinkingBudget"))
        # True and 1 are equal, so the type is asked as well.
        include = thinking.get("includeThoughts", False)
        if not isinstance(include, bool):
            self.invalid(f"{path}.include_thoughts", "TYPE_BOOL", include)
        elif include not in self.model.capabilities.include_thoughts:
            self.refuse(f"{path}.include_thoughts", f"* {_ROOT}.{path}.include_thoughts: true is not offered yet.")
        if "thinkingBudget" in thinking:
            self.unoffered(path, "thinkingBudget")
        return self._read_thinking_level(f"{path}.thinking_level", thinking.get("thinkingLevel")), include is True

    def _read_thinking_level(self, path: str, value: object) -> str | None:
        """The level; None where it is left to the model."""
        if value is None:
            return None
        level = value.upper() if isinstance(value, str) else ""
        if level == "THINKING_LEVEL_UNSPECIFIED":
            return None
        if level not in _THINKING_LEVELS:
            self.invalid(path, "TYPE_ENUM", value)
        elif level.lower() not in self.model.capabilities.thinking:
            allowed = " or ".join(name.upper() for name in self.model.capabilities.thinking if name != "off")
            instead = f"allowed: {allowed}." if allowed else "leave it out."
            self.refuse(path, f"* {_ROOT}.{path}: {level} is not offered for {self.model.id}; {instead}")
        return level.lower()

    def _read_image_config(self, value: object) -> tuple[str, str]:
        path = f"{_CONFIG}.image_config"
        config = self.read_message(value, path, ("aspectRatio", "imageSize"))
        ratio = config.get("aspectRatio", catalog.DEFAULT_ASPECT_RATIO)
        if ratio not in self.model.aspect_ratios:
            self._refuse_choice(f"{path}.aspect_ratio", ratio, self.model.aspect_ratios)
        size = config.get("imageSize", self.model.default_size(self.default_image_size))
        size = catalog.canonical_size(size) if isinstance(size, str) else size
        if size not in self.model.sizes:
            self._refuse_choice(f"{path}.image_size", size, self.model.sizes)
        return ratio, size

    def _refuse_choice(self, path: str, value: object, allowed: tuple[str, ...]) -> None:
        if not isinstance(value, str):
            self.invalid(path, "TYPE_STRING", value)
            return
        quoted = [f"'{choice}'" for choice in allowed]
        choices = f"{', '.join(quoted[:-1])} or {quoted[-1]}"
        name = path.rpartition(".")[2]
        self.refuse(path, f"* {_ROOT}.{path}: {name} must be one of {choices}, not {shown(value)}.")

    def _read_modalities(self, value: object) -> tuple[str, ...]:
        path = f"{_CONFIG}.response_modalities"
        if not isinstance(value, list):
            self.invalid(path, "a list of TYPE_ENUM", value)
            return ()
        wanted = {item.upper() if isinstance(item, str) else shown(item) for item in value} or set(MODALITIES)
        ordered = tuple(name for name in MODALITIES if name in wanted)
        if wanted - set(MODALITIES) or ordered not in self.model.capabilities.modalities:
            allowed = " or ".join(canonical_json(each) for each in self.model.capabilities.modalities)
            self.refuse(path, f"* {_ROOT}.{path}: {shown(value)} makes no picture; allowed: {allowed}.")
        return ordered

    def _read_seed(self, seed: object) -> int | None:
        if seed is None or is_int32(seed):
            return seed
        self.invalid(f"{_CONFIG}.seed", "TYPE_INT32", seed)
        return None

    def _read_passed_on(self, config: dict[str, Any]) -> dict[str, Any]:
        passed = {name: value for name, value in config.items() if name in _PASSED_ON}
        for name, value in passed.items():
            expected, is_valid = _PASSED_ON[name]
            if not is_valid(value):
                self.invalid(self.path(_CONFIG, name), expected, value)
            self.check_texts(value, self.path(_CONFIG, name))
        return passed

    def _read_safety_settings(self, value: object) -> list[dict[str, Any]]:
        settings = []
        for index, item in enumerate(as_list(value)):
            path = f"safety_settings[{index}]"
            setting = self.read_message(item, path, ("category", "threshold"))
            for name, allowed in (("category", _HARM_CATEGORIES), ("threshold", _THRESHOLDS)):
                choice = setting.get(name)
                if not isinstance(choice, str) or choice not in allowed:
                    self.invalid(f"{path}.{name}", "TYPE_ENUM", choice)
            settings.append(setting)
        return settings
