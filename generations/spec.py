"""GenerationSpec: the parsed wish, the same one for every door."""

import hashlib
import json
import re
import unicodedata
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Self, TypeGuard

from accounts.errors import FieldError, InvalidInput
from generations import catalog
from generations.catalog import Model
from generations.errors import UnknownModel, shown

MAX_PROMPT_CHARS = 4000
MAX_PROBLEMS = 20
MAX_STYLE_CHARS = 200
MODALITIES = ("TEXT", "IMAGE")

# Neither a database nor UTF-8 takes all of these: control characters but for \t \n \r, and halves of a pair.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")
_UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_NO_TEXTS = frozenset({"data", "b64_json", "url", "thoughtSignature", "thought_signature"})
_INVISIBLE = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})


@dataclass(frozen=True, kw_only=True)
class GenerationSpec:
    """What is wanted, validated, with every default filled in.

    `native` is the canonical JSON text of an object: what came through a native door and has no field here (system
    instruction, history, temperature, safety settings). It is text because text cannot change after it was checked.
    """

    prompt: str
    model: str
    image_size: str
    kind: str = "image"
    aspect_ratio: str = catalog.DEFAULT_ASPECT_RATIO
    count: int = 1
    modalities: tuple[str, ...] = ("IMAGE",)
    grounding: bool = False
    thinking: str | None = None
    include_thoughts: bool = False
    styles: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    edit_of: str | None = None
    seed: int | None = None
    native: str = "{}"

    @classmethod
    def parse(cls, body: object, *, default_image_size: str) -> "GenerationSpec":
        """The wish of a REST or shell body; InvalidInput names every field that is wrong, all at once."""
        reader = _Reader(body)
        return reader.finish(reader.read_spec(default_image_size))

    @classmethod
    def from_canonical(cls, document: Mapping[str, Any]) -> Self:
        """The spec that `canonical()` was taken from, not validated again: a stored wish outlives its catalogue."""
        values = dict(document)
        for name in _LISTS & values.keys():
            values[name] = tuple(values[name])
        values["native"] = canonical_json(values["native"])
        return cls(**values)

    def canonical(self) -> dict[str, Any]:
        """This spec as JSON-able values in a stable order.

        Defaults are included, but for the fields that came later: a wish of last year has the same fingerprint today.
        """
        document = {field.name: getattr(self, field.name) for field in sorted(fields(self), key=lambda f: f.name)}
        later = {name: value for name, value in document.items() if name in _LATER and value == _LATER[name]}
        kept = {name: value for name, value in document.items() if name not in later}
        lists = {name: list(kept[name]) for name in _LISTS & kept.keys()}
        return kept | lists | {"native": self.native_fields()}

    def native_fields(self) -> dict[str, Any]:
        """A fresh copy of the native remainder."""
        return json.loads(self.native)

    def parameters(self) -> dict[str, Any]:
        """The "parameters" object of the API: what was asked for beside the prompt and the model."""
        return {
            "aspect_ratio": self.aspect_ratio,
            "image_size": self.image_size,
            "count": self.count,
            "modalities": list(self.modalities),
            "grounding": self.grounding,
            "thinking": self.thinking,
            "include_thoughts": self.include_thoughts,
            "styles": list(self.styles),
            "references": list(self.references),
            "edit_of": self.edit_of,
            "seed": self.seed,
        }

    def texts(self) -> dict[str, str]:
        """Every text in it that a model will read, by the path of its field: what the prompt filter looks at."""
        texts = {"prompt": self.prompt}
        texts |= {f"styles.{index}": style for index, style in enumerate(self.styles) if style}
        return texts | dict(_texts_in("native", self.native_fields()))

    def for_slot(self, slot: int) -> "GenerationSpec":
        """The wish of one picture of several, from 0, in its own style.

        It has its own seed too: the same one for all of them would make the same picture.
        """
        seed = None if self.seed is None else _next_int32(self.seed, slot)
        style = self.styles[slot] if self.styles else ""
        prompt = f"{self.prompt}\n\nStyle: {style}" if style else self.prompt
        return replace(self, prompt=prompt, styles=(), count=1, seed=seed)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 in hex of the canonical form, equal for prompts that differ in white space only."""
        return self._digest(" ".join(self.prompt.split()))

    @cached_property
    def likeness(self) -> str:
        """As the fingerprint, and equal for prompts that differ in case too."""
        return self._digest(" ".join(self.prompt.casefold().split()))

    def _digest(self, prompt: str) -> str:
        return hashlib.sha256(canonical_json(self.canonical() | {"prompt": prompt}).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class CreateBody:
    """A create request: the wish, and the envelope that is no part of it. `client_id` is an idempotency key.

    With `reuse` an earlier identical wish may answer; `parent` is the generation or the picture it was begun from.
    """

    spec: GenerationSpec
    client_id: uuid.UUID | None
    parent: uuid.UUID | None = None
    reuse: bool = False


def parse_create_body(body: object, *, default_image_size: str) -> CreateBody:
    """A wish with its envelope (`client_id`, `parent`, `reuse`); InvalidInput names every field that is wrong."""
    reader = _Reader(body)
    client_id = reader.read_uuid("client_id")
    parent = reader.read_uuid("parent")
    reuse = reader.read_reuse()
    spec = reader.finish(reader.read_spec(default_image_size))
    return CreateBody(spec=spec, client_id=client_id, parent=parent, reuse=reuse)


def _texts_in(path: str, value: object) -> Iterator[tuple[str, str]]:
    """What is written in a native remainder; bytes of pictures and signatures are no texts."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name not in _NO_TEXTS:
                yield from _texts_in(f"{path}.{name}", inner)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _texts_in(f"{path}.{index}", inner)
    elif isinstance(value, str) and value:
        yield path, value


def canonical_json(document: object) -> str:
    """One spelling for one JSON value: sorted keys, no white space, ASCII."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)


def prompt_problem(prompt: str) -> str | None:
    """What is wrong with a prompt, as the rest of a sentence that begins with "prompt", or None."""
    if problem := text_problem(prompt):
        return problem
    stripped = prompt.strip()
    if len(stripped) > MAX_PROMPT_CHARS:
        return f"has {len(stripped)} characters; 1 to {MAX_PROMPT_CHARS} are allowed"
    if all(unicodedata.category(character) in _INVISIBLE for character in stripped):
        return f"is empty; 1 to {MAX_PROMPT_CHARS} characters are allowed"
    return None


def text_problem(text: str) -> str | None:
    """Why a text cannot be stored or sent (control characters, half characters), or None."""
    found = _FORBIDDEN.search(text)
    if found is None:
        return None
    name, position = f"U+{ord(found[0]):04X}", found.start() + 1
    if found[0] < " ":
        return f"has the control character {name} at position {position}; only line breaks and tabs are allowed"
    return f"has half a character ({name}, an unpaired surrogate) at position {position}"


def _next_int32(number: int, step: int) -> int:
    """`number` + `step`, going on at the lowest number after the highest one."""
    return (number + step + 2**31) % 2**32 - 2**31


def _is_uuid(text: str) -> bool:
    return _UUID.fullmatch(text) is not None


def is_int32(value: object) -> TypeGuard[int]:
    """Whether this is a whole number of 32 bits with sign; true and false are no numbers."""
    return isinstance(value, int) and not isinstance(value, bool) and -(2**31) <= value < 2**31


_LISTS = frozenset({"modalities", "styles", "references"})
# Fields that stored wishes of earlier versions do not have, with what their absence means.
_LATER: Mapping[str, object] = {
    "grounding": False,
    "thinking": None,
    "include_thoughts": False,
    "styles": (),
    "references": (),
    "edit_of": None,
}

# What may be said of a clip beside its prompt, model and shape.
_OF_A_CLIP: Mapping[str, tuple[Any, ...]] = {
    "count": (1,),
    "modalities": (("IMAGE",),),
    "grounding": (False,),
    "thinking": (None, "off"),
    "include_thoughts": (False,),
    "styles": ((),),
    "references": ((),),
    "edit_of": (None,),
    "seed": (None,),
}


def _is_list_of_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


@dataclass(frozen=True, slots=True)
class _Parameter:
    """An optional parameter whose allowed values are the model's capability of the same name."""

    name: str
    expects: str
    is_well_formed: Callable[[object], bool]


_PARAMETERS = (
    _Parameter("count", "a whole number from 1 to 4", lambda value: is_int32(value) and 1 <= value <= 4),
    _Parameter("grounding", "true or false", lambda value: isinstance(value, bool)),
    _Parameter("thinking", "off, minimal or high", lambda value: value in ("off", "minimal", "high")),
    _Parameter("include_thoughts", "true or false", lambda value: isinstance(value, bool)),
)
_FIELDS = (
    *("prompt", "model", "kind", "aspect_ratio", "image_size", "modalities", "seed"),
    *(parameter.name for parameter in _PARAMETERS),
    *("styles", "references", "edit_of"),
)


class _Reader:
    """Reads one body field by field and keeps every problem, so that they can be told together."""

    def __init__(self, body: object) -> None:
        if not isinstance(body, Mapping):
            raise InvalidInput(f"The body must be a JSON object, not {shown(body)}.")
        self.body = dict(body)
        self.known = list(_FIELDS)
        self.problems: list[FieldError] = []

    def refuse(self, field: str, message: str) -> None:
        self.problems.append(FieldError(field, message))

    def finish(self, spec: GenerationSpec | None) -> GenerationSpec:
        """Raise what was found, or hand the spec on."""
        problems = tuple(self.problems[:MAX_PROBLEMS])
        if spec is not None and not problems:
            return spec
        if len(problems) == 1:
            raise InvalidInput.of(problems[0].field, problems[0].message)
        names = ", ".join(dict.fromkeys(problem.field for problem in problems))
        raise InvalidInput(f"Several fields are not valid: {names}.", errors=problems)

    def read_uuid(self, name: str) -> uuid.UUID | None:
        self.known.append(name)
        value = self.body.get(name)
        if value is None or isinstance(value, uuid.UUID):
            return value
        try:
            return uuid.UUID(value)
        except (ValueError, TypeError, AttributeError):
            self.refuse(name, f"{name} {shown(value)} is not valid; allowed: a UUID or null.")
            return None

    def read_reuse(self) -> bool:
        self.known.append("reuse")
        value = self.body.get("reuse", "never")
        if value not in ("never", "auto"):
            self.refuse("reuse", f'reuse {shown(value)} is not valid; allowed: "never", "auto".')
        return value == "auto"

    def read_spec(self, default_image_size: str) -> GenerationSpec | None:
        """The spec, or None if anything was refused."""
        for name in self.body:
            if name not in self.known:
                what = shown(name)
                self.refuse(what.strip('"'), f"There is no field {what}; allowed: {', '.join(self.known)}.")
        model = self._read_model()
        kind = self._read_kind(model)
        values: dict[str, Any] = {
            "prompt": self._read_prompt(),
            "kind": kind,
            "aspect_ratio": self._read_aspect_ratio(model, kind),
            "image_size": self._read_image_size(model, default_image_size, kind),
            "modalities": self._read_modalities(model),
            "seed": self._read_seed(model),
        }
        values |= {each.name: self._read_parameter(each, model) for each in _PARAMETERS if each.name in self.body}
        if values.get("thinking") == "off":
            values["thinking"] = None  # the same wish as to say nothing about it
        values["styles"] = self._read_styles(values.get("count", 1), model)
        values["references"], values["edit_of"] = self._read_references(model)
        if kind == "video":
            self._refuse_for_clips(values)
        if self.problems or model is None:
            return None
        return GenerationSpec(model=model.id, **values)

    def _read_model(self) -> Model | None:
        name = self.body.get("model", catalog.DEFAULT_MODEL_ID)
        if not isinstance(name, str):
            always = ", ".join(model.id for model in catalog.offered_models(()))
            self.refuse("model", f"model {shown(name)} is not the id of a model; allowed: {always}.")
            return None
        try:
            return catalog.askable_model(name)
        except UnknownModel as error:
            self.problems.extend(error.errors)
            return None

    def _read_prompt(self) -> str:
        prompt = self.body.get("prompt")
        if not isinstance(prompt, str):
            what = f"prompt {shown(prompt)} is not a text" if "prompt" in self.body else "prompt is missing"
            self.refuse("prompt", f"{what}; allowed: a text of 1 to {MAX_PROMPT_CHARS} characters.")
            return ""
        if problem := prompt_problem(prompt):
            self.refuse("prompt", f"prompt {problem}.")
        return prompt.strip()

    def _read_kind(self, model: Model | None) -> str:
        kind = self.body.get("kind", "image")
        if kind not in ("image", "video"):
            self.refuse("kind", f'kind {shown(kind)} is not valid; allowed: "image", "video".')
            return "image"
        elif model and kind not in model.kinds:
            self._refuse_for_now("kind", kind, model, model.kinds)
        return kind

    def _refuse_for_clips(self, values: Mapping[str, Any]) -> None:
        """A clip is asked for in words alone: the protocol that serves it has no place for the rest."""
        for name, allowed in _OF_A_CLIP.items():
            value = values.get(name, allowed[0])
            if value not in allowed:
                value = list(value) if isinstance(value, tuple) else value
                instead = ", ".join(json.dumps(each) for each in allowed)
                self.refuse(name, f"{name} {shown(value)} is not possible for a video; allowed: {instead}.")

    def _read_aspect_ratio(self, model: Model | None, kind: str) -> str:
        ratio = self.body.get("aspect_ratio", catalog.DEFAULT_ASPECT_RATIO)
        allowed = model.aspect_ratios_of(kind) if model else tuple(catalog.PIXELS_1K)
        if ratio not in allowed:
            self._refuse_value("aspect_ratio", ratio, model, allowed)
        return ratio

    def _read_image_size(self, model: Model | None, default: str, kind: str) -> str:
        if "image_size" not in self.body:
            return model.default_size(default, kind) if model else default
        size = self.body["image_size"]
        size = catalog.canonical_size(size) if isinstance(size, str) else size
        allowed = model.sizes_of(kind) if model else (*catalog.SIZES, catalog.CLIP_SIZE.name)
        if size not in allowed:
            self._refuse_value("image_size", self.body["image_size"], model, allowed)
        return size

    def _read_modalities(self, model: Model | None) -> tuple[str, ...]:
        value = self.body.get("modalities", ["IMAGE"])
        allowed = model.capabilities.modalities if model else catalog.Capabilities().modalities
        ordered = tuple(name for name in MODALITIES if name in value) if _is_modalities(value) else ()
        if ordered not in allowed:
            self._refuse_value("modalities", value, model, tuple(json.dumps(list(each)) for each in allowed))
        return ordered

    def _read_seed(self, model: Model | None) -> int | None:
        seed = self.body.get("seed")
        if seed is None:
            return None
        span = model.capabilities.seed if model else catalog.Capabilities().seed
        if model and span is None:
            self._refuse_for_now("seed", seed, model, (None,))
        elif span and not (is_int32(seed) and span[0] <= seed <= span[1]):
            what = f"seed {shown(seed)} is not valid"
            self.refuse("seed", f"{what}; allowed: a whole number from {span[0]} to {span[1]}, or null.")
        return seed

    def _read_parameter(self, parameter: _Parameter, model: Model | None) -> Any:
        value = self.body[parameter.name]
        if not parameter.is_well_formed(value):
            what = f"{parameter.name} {shown(value)} is not valid"
            self.refuse(parameter.name, f"{what}; expected {parameter.expects}.")
        elif model:
            allowed = getattr(model.capabilities, parameter.name)
            if (tuple(value) if isinstance(value, list) else value) not in allowed:
                self._refuse_for_now(parameter.name, value, model, allowed)
        return value

    def _read_styles(self, count: object, model: Model | None) -> tuple[str, ...]:
        styles = self.body.get("styles", [])
        if not _is_list_of_texts(styles):
            self.refuse("styles", f"styles {shown(styles)} is not valid; expected a list of texts.")
            return ()
        if styles and model and not model.capabilities.styles:
            self._refuse_for_now("styles", styles, model, ([],))
        elif styles and len(styles) != count:
            self.refuse("styles", f"styles has {len(styles)} texts for count {shown(count)}; expected one per picture.")
        for style in styles:
            problem = text_problem(style)
            if len(style) > MAX_STYLE_CHARS:
                problem = f"has {len(style)} characters; at most {MAX_STYLE_CHARS} are allowed"
            if problem:
                self.refuse("styles", f"A style {problem}.")
        return tuple(style.strip() for style in styles)

    def _read_references(self, model: Model | None) -> tuple[tuple[str, ...], str | None]:
        """The ids of the pictures that are brought along and of the one that is worked on; whose they are is not
        known here."""
        references, edit_of = self.body.get("references", []), self.body.get("edit_of")
        if not _is_list_of_texts(references) or not all(map(_is_uuid, references)):
            self.refuse("references", f"references {shown(references)} is not valid; expected a list of image ids.")
            references = []
        if edit_of is not None and not (isinstance(edit_of, str) and _is_uuid(edit_of)):
            self.refuse("edit_of", f"edit_of {shown(edit_of)} is not valid; expected an image id or null.")
            edit_of = None
        if len(set(references)) < len(references):
            self.refuse("references", "references names a picture twice.")
        if model:
            brought = len(references) + (edit_of is not None)
            if edit_of is not None and not model.capabilities.edits:
                self._refuse_for_now("edit_of", edit_of, model, (None,))
            if brought > model.capabilities.max_references:
                most = model.capabilities.max_references
                takes = f"at most {most}" if most else "none"
                self.refuse("references", f"{brought} pictures are brought along; {model.label} takes {takes}.")
        return tuple(map(str.lower, references)), edit_of.lower() if edit_of else None

    def _refuse_value(self, field: str, value: object, model: Model | None, allowed: tuple[str, ...]) -> None:
        where = f" for {model.label} ({model.id})" if model else ""
        self.refuse(field, f"{field} {shown(value)} is not available{where}; allowed: {', '.join(allowed)}.")

    def _refuse_for_now(self, field: str, value: object, model: Model, allowed: tuple[object, ...]) -> None:
        what = f"{field} {shown(value)} is not offered by this server yet for {model.id}"
        instead = ", ".join(json.dumps(each) for each in allowed) or "leave the field out"
        self.refuse(field, f"{what}; allowed: {instead}.")


def _is_modalities(value: object) -> TypeGuard[list[str]]:
    return _is_list_of_texts(value) and len(set(value)) == len(value) and set(value) <= set(MODALITIES)
