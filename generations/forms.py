"""The composer's fields: filled from an address, a draft or an earlier job, and read as one more body of a wish."""

import hashlib
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self
from urllib.parse import urlencode

from django.conf import settings
from django.http import QueryDict

from accounts.errors import ServiceError
from generations import catalog
from generations.catalog import Model
from generations.errors import RetiredModel, UnknownModel
from generations.models import Generation
from generations.providers.current import kinds_of
from generations.spec import (
    MAX_PROMPT_CHARS,
    MAX_STYLE_CHARS,
    CreateBody,
    GenerationSpec,
    canonical_json,
    parse_create_body,
)

# A draft is kept in the session: more than anybody can send, and less than would hurt the database.
MAX_DRAFT_CHARS = 2 * MAX_PROMPT_CHARS
TOKEN = re.compile(r"[0-9a-f]{32}")
LABELS = {
    "prompt": "Prompt",
    "kind": "Kind",
    "model": "Model",
    "aspect_ratio": "Aspect ratio",
    "image_size": "Size",
    "modalities": "Output",
    "seed": "Seed",
    "count": "Images",
    "grounding": "Grounding",
    "thinking": "Thinking",
    "include_thoughts": "Show thoughts",
    "edit_of": "The picture that is worked on",
    "parent": "What it was begun from",
}
# Fields that stand in a form several times; in an address also joined by commas.
LISTS = {"styles": "Styles", "references": "Reference pictures"}
MAX_COUNT = 4
MAX_LISTED = 20  # of a list that somebody typed into an address


def new_token() -> str:
    """A name for the next wish of a form, which makes sending it twice one job."""
    return uuid.uuid4().hex


@dataclass(frozen=True, kw_only=True)
class Composer:
    """What stands in the composer, as texts that nobody has checked yet; `modalities` is joined by commas.

    A switch is "1" or empty. `styles` has a text for each picture, some of them perhaps empty.
    """

    prompt: str = ""
    kind: str = "image"
    model: str = catalog.DEFAULT_MODEL_ID
    aspect_ratio: str = catalog.DEFAULT_ASPECT_RATIO
    image_size: str = ""
    modalities: str = "IMAGE"
    seed: str = ""
    count: str = "1"
    grounding: str = ""
    thinking: str = "off"
    include_thoughts: str = ""
    edit_of: str = ""
    parent: str = ""
    styles: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    token: str = field(default_factory=new_token)

    @classmethod
    def read(cls, data: Mapping[str, Any], base: "Composer | None" = None) -> "Composer":
        """The fields that are in a form or an address, over those of `base`."""
        # Browsers send line breaks as two characters; people count one.
        sent: dict[str, Any] = {name: str(data[name]).replace("\r\n", "\n") for name in LABELS if name in data}
        lists: dict[str, Any] = {name: _listed(name, data) for name in LISTS if name in data}
        token = str(data.get("token", ""))
        return replace(base or cls(), **sent, **lists, token=token if TOKEN.fullmatch(token) else new_token())

    @classmethod
    def from_generation(cls, generation: Generation, *, with_prompt: bool = True) -> Self:
        """The wish of an earlier job, to be changed and sent again; with its prompt it is begun from that job."""
        spec = GenerationSpec.from_canonical(generation.spec)
        return cls(
            prompt=spec.prompt if with_prompt else "",
            kind=spec.kind,
            model=spec.model,
            aspect_ratio=spec.aspect_ratio,
            image_size=spec.image_size,
            modalities=",".join(spec.modalities),
            seed="" if spec.seed is None or not with_prompt else str(spec.seed),
            count=str(spec.count),
            grounding="1" if spec.grounding else "",
            thinking=spec.thinking or "off",
            include_thoughts="1" if spec.include_thoughts else "",
            edit_of=(spec.edit_of or "") if with_prompt else "",
            parent=str(generation.public_id) if with_prompt else "",
            styles=spec.styles if with_prompt else (),
            references=spec.references if with_prompt else (),
        )

    def settled(self, offered: Sequence[Model]) -> "Composer":
        """With one of the models on offer by its id, and a size that it makes; for showing: nothing is refused here."""
        model = _nearest_offered(self.model, offered)
        size = catalog.canonical_size(self.image_size)
        kind = self.kind if self.kind in kinds_of(model) else "image"
        has_ratio = self.aspect_ratio in model.aspect_ratios_of(kind)
        ratio = self.aspect_ratio if has_ratio else catalog.DEFAULT_ASPECT_RATIO
        size = size if size in model.sizes else model.default_size(settings.DEFAULT_IMAGE_SIZE)
        can = model.capabilities
        return replace(
            self,
            model=model.id,
            kind=kind,
            aspect_ratio=ratio,
            image_size=size,
            modalities=self.modalities if self.modalities in map(",".join, can.modalities) else "IMAGE",
            seed=self.seed if can.seed else "",
            count=self.count if kind == "image" and self.count in map(str, can.count) else str(can.count[0]),
            grounding="1" if self.grounding and True in can.grounding else "",
            thinking=self.thinking if self.thinking in can.thinking else "off",
            include_thoughts="1" if self.include_thoughts and True in can.include_thoughts else "",
            styles=self.styles if can.styles else (),
        )

    def texts(self) -> dict[str, str]:
        """What the prompt filter looks at, by the path of its field; as `GenerationSpec.texts`, before it is a wish."""
        styles = {f"styles.{index}": style for index, style in enumerate(self.wanted_styles) if style}
        return {"prompt": self.prompt[:MAX_DRAFT_CHARS]} | styles

    def with_texts(self, texts: Mapping[str, str]) -> Self:
        """With other words in the place of those that `texts()` has told."""
        styles = tuple(texts.get(f"styles.{index}", style) for index, style in enumerate(self.styles))
        return replace(self, prompt=texts.get("prompt", self.prompt), styles=styles)

    def spec(self) -> GenerationSpec:
        """The wish without what it was begun from. Raises InvalidInput as `wish` does."""
        return self.wish().spec

    def wish(self) -> CreateBody:
        """The wish, through the same parse as a REST body. Raises InvalidInput with the fields in people's words."""
        body: dict[str, object] = {"prompt": self.prompt, "model": self.model, "aspect_ratio": self.aspect_ratio}
        if self.parent:
            body["parent"] = self.parent
        if self.kind != "image":
            # Nothing else is offered for a clip: the form hides what belongs to a picture.
            body["kind"] = self.kind
            return parse_create_body(body, default_image_size=settings.DEFAULT_IMAGE_SIZE)
        if self.image_size:
            body["image_size"] = self.image_size
        body["modalities"] = self.modalities.split(",")
        if self.seed:
            body["seed"] = int(self.seed) if re.fullmatch(r"-?[0-9]{1,11}", self.seed) else self.seed
        body["count"] = int(self.count) if re.fullmatch("[0-9]{1,3}", self.count) else self.count
        if self.grounding:
            body["grounding"] = True
        if self.thinking not in ("", "off"):  # nothing is said to a model that always thinks
            body["thinking"] = self.thinking
        if self.include_thoughts:
            body["include_thoughts"] = True
        if styles := self.wanted_styles:
            body["styles"] = list(styles)
        if self.references:
            body["references"] = list(self.references)
        if self.edit_of:
            body["edit_of"] = self.edit_of
        return parse_create_body(body, default_image_size=settings.DEFAULT_IMAGE_SIZE)

    @property
    def wanted_styles(self) -> tuple[str, ...]:
        """The texts that belong to the pictures that are wanted; none when nobody has typed any."""
        many = int(self.count) if self.count in map(str, range(2, MAX_COUNT + 1)) else 0
        styles = tuple([*self.styles, *[""] * MAX_COUNT][:many])
        return styles if any(style.strip() for style in styles) else ()

    @property
    def style_fields(self) -> tuple[str, ...]:
        """A text for each picture that can be asked for."""
        return tuple([*self.styles, *[""] * MAX_COUNT][:MAX_COUNT])

    def idempotency_key(self, spec: GenerationSpec) -> str:
        """The same form with the same wish is one job; when the wish was changed, an old form makes a new one."""
        document = spec.canonical() | ({"parent": self.parent} if self.parent else {})
        digest = hashlib.sha256(canonical_json(document).encode()).hexdigest()
        return f"web:{self.token}:{digest[:32]}"

    def draft(self) -> dict[str, str | list[str]]:
        """What a session keeps of it until somebody has signed in."""
        texts: dict[str, str | list[str]] = {name: getattr(self, name)[:MAX_DRAFT_CHARS] for name in LABELS}
        return texts | {name: [text[:MAX_STYLE_CHARS] for text in getattr(self, name)] for name in LISTS}

    def address(self) -> str:
        """The query string that fills the form with this."""
        names = [each.name for each in fields(self) if each.name in LABELS or each.name in LISTS]
        return urlencode({name: getattr(self, name) for name in names}, doseq=True)


def _nearest_offered(name: str, offered: Sequence[Model]) -> Model:
    """The model of this name, what follows it if it is retired, or the default one."""
    try:
        wanted: str | None = catalog.askable_model(name).id
    except UnknownModel as error:
        wanted = error.nearest if isinstance(error, RetiredModel) else None
    found = (model for model in offered if model.id == wanted)
    return next(found, catalog.get_model(catalog.DEFAULT_MODEL_ID))


def _listed(name: str, data: Mapping[str, Any]) -> tuple[str, ...]:
    value = data[name]
    sent: Iterable[Any] = data.getlist(name) if isinstance(data, QueryDict) else value
    texts = [str(text).replace("\r\n", "\n") for text in ([sent] if isinstance(sent, str) else sent)]
    if name == "references":
        texts = [part for text in texts for part in text.split(",") if part]
    return tuple(texts[:MAX_LISTED])


def problems_by_field(error: ServiceError) -> dict[str, str]:
    """The sentences for each field, named as the form names it; one of a list belongs to the list."""
    told: dict[str, str] = {}
    for problem in error.errors:
        field = problem.field.partition(".")[0]
        label = (LABELS | LISTS).get(problem.field, problem.field)
        named = problem.message.startswith(f"{problem.field} ")
        message = label + problem.message.removeprefix(problem.field) if named else problem.message
        told[field] = f"{told[field]} {message}" if field in told else message
    return told
