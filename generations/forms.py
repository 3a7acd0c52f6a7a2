"""The composer's fields: filled from an address, a draft or an earlier job, and read as one more body of a wish."""

import hashlib
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self
from urllib.parse import urlencode

from django.conf import settings

from accounts.errors import InvalidInput
from generations import catalog
from generations.errors import UnknownModel
from generations.models import Generation
from generations.spec import MAX_PROMPT_CHARS, GenerationSpec, canonical_json, parse_create_body

# A draft is kept in the session: more than anybody can send, and less than would hurt the database.
MAX_DRAFT_CHARS = 2 * MAX_PROMPT_CHARS
TOKEN = re.compile(r"[0-9a-f]{32}")
LABELS = {
    "prompt": "Prompt",
    "model": "Model",
    "aspect_ratio": "Aspect ratio",
    "image_size": "Size",
    "modalities": "Output",
    "seed": "Seed",
}


def new_token() -> str:
    """A name for the next wish of a form, which makes sending it twice one job."""
    return uuid.uuid4().hex


@dataclass(frozen=True, kw_only=True)
class Composer:
    """What stands in the composer, as texts that nobody has checked yet; `modalities` is joined by commas."""

    prompt: str = ""
    model: str = catalog.DEFAULT_MODEL_ID
    aspect_ratio: str = catalog.DEFAULT_ASPECT_RATIO
    image_size: str = ""
    modalities: str = "IMAGE"
    seed: str = ""
    token: str = field(default_factory=new_token)

    @classmethod
    def read(cls, data: Mapping[str, Any], base: "Composer | None" = None) -> "Composer":
        """The fields that are in a form or an address, over those of `base`."""
        # Browsers send line breaks as two characters; people count one.
        sent = {name: str(data[name]).replace("\r\n", "\n") for name in LABELS if name in data}
        token = str(data.get("token", ""))
        return replace(base or cls(), **sent, token=token if TOKEN.fullmatch(token) else new_token())

    @classmethod
    def from_generation(cls, generation: Generation, *, with_prompt: bool = True) -> Self:
        """The wish of an earlier job, to be changed and sent again."""
        spec = GenerationSpec.from_canonical(generation.spec)
        return cls(
            prompt=spec.prompt if with_prompt else "",
            model=spec.model,
            aspect_ratio=spec.aspect_ratio,
            image_size=spec.image_size,
            modalities=",".join(spec.modalities),
            seed="" if spec.seed is None or not with_prompt else str(spec.seed),
        )

    def settled(self) -> "Composer":
        """With an existing model by its id, and a size that it makes; for showing, as nothing is refused here."""
        try:
            model = catalog.get_model(self.model)
        except UnknownModel:
            model = catalog.get_model(catalog.DEFAULT_MODEL_ID)
        size = catalog.canonical_size(self.image_size)
        ratio = self.aspect_ratio if self.aspect_ratio in model.aspect_ratios else catalog.DEFAULT_ASPECT_RATIO
        size = size if size in model.sizes else model.default_size(settings.DEFAULT_IMAGE_SIZE)
        return replace(self, model=model.id, aspect_ratio=ratio, image_size=size)

    def spec(self) -> GenerationSpec:
        """The wish, through the same parse as a REST body. Raises InvalidInput with the fields in people's words."""
        body: dict[str, object] = {"prompt": self.prompt, "model": self.model, "aspect_ratio": self.aspect_ratio}
        if self.image_size:
            body["image_size"] = self.image_size
        body["modalities"] = self.modalities.split(",")
        if self.seed:
            body["seed"] = int(self.seed) if re.fullmatch(r"-?[0-9]{1,11}", self.seed) else self.seed
        return parse_create_body(body, default_image_size=settings.DEFAULT_IMAGE_SIZE).spec

    def idempotency_key(self, spec: GenerationSpec) -> str:
        """The same form with the same wish is one job; when the wish was changed, an old form makes a new one."""
        digest = hashlib.sha256(canonical_json(spec.canonical()).encode()).hexdigest()
        return f"web:{self.token}:{digest[:32]}"

    def draft(self) -> dict[str, str]:
        """What a session keeps of it until somebody has signed in."""
        return {name: getattr(self, name)[:MAX_DRAFT_CHARS] for name in LABELS}

    def address(self) -> str:
        """The query string that fills the form with this."""
        return urlencode({each.name: getattr(self, each.name) for each in fields(self) if each.name in LABELS})


def problems_by_field(error: InvalidInput) -> dict[str, str]:
    """The sentences for each field, named as the form names it."""
    told: dict[str, str] = {}
    for problem in error.errors:
        label = LABELS.get(problem.field, problem.field)
        message = label + problem.message.removeprefix(problem.field)
        told[problem.field] = f"{told[problem.field]} {message}" if problem.field in told else message
    return told
