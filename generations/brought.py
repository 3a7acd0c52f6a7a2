"""What a wish brings along: pictures to look at, and the turns behind a picture that is worked on further."""

import base64
from dataclasses import dataclass

from accounts.errors import FieldError, InvalidInput
from accounts.models import User
from gallery import storage
from gallery.models import Image
from gallery.screening.pictures import Brought as Looked
from gallery.screening.pictures import admit_pictures
from generations.models import Generation, Output
from generations.providers.base import NOTHING, Brought
from generations.spec import GenerationSpec
from generations.wire.inputs import MAX_INPUT_BYTES, MAX_INPUT_IMAGES, InputImage, Turn

MAX_TURNS = 3  # edits of an edit of an edit: what lies further back has left its mark on the picture itself


class PictureGone(Exception):
    """A picture that a waiting wish brings along was purged meanwhile; the words name it."""


@dataclass(frozen=True)
class _Step:
    """One earlier picture with the wish that made it."""

    generation: Generation
    output: Output


def check_brought(user: User, spec: GenerationSpec, *, is_kept: bool = True) -> None:
    """Refuse, before anything is held, pictures that are not the user's own, weigh more than a request may carry, or
    are refused by a picture rule; the hit of such a rule is kept unless `is_kept` is off.

    Raises InvalidInput and PictureRejected naming the field. Precondition: no open transaction.
    """
    wanted = [*spec.references, *([spec.edit_of] if spec.edit_of else [])]
    if not wanted:
        return
    images = {str(image.public_id): image for image in _images(user, wanted)}
    problems = [
        FieldError(name, f"There is no picture {public_id} in your library.")
        for name, ids in (("references", spec.references), ("edit_of", (spec.edit_of,) if spec.edit_of else ()))
        for public_id in ids
        if public_id not in images
    ]
    if problems:
        raise InvalidInput(problems[0].message, errors=tuple(problems))
    earlier = [step.output.image for step in _steps(user, spec)[1:]]
    weight = sum(_weight(image) for image in [*images.values(), *earlier])
    if weight > MAX_INPUT_BYTES:
        message = f"These pictures weigh {weight // 1_000_000} MB as they are sent; {MAX_INPUT_BYTES // 1_000_000} fit."
        raise InvalidInput.of("references", message)
    fields = dict.fromkeys(spec.references, "references") | {str(spec.edit_of): "edit_of"}
    brought = [_looked_at(image, fields[public_id]) for public_id, image in images.items()]
    brought += [_looked_at(image, "edit_of") for image in earlier]
    admit_pictures(user=user, brought=brought, door="reference", is_kept=is_kept)


def _looked_at(image: Image, field: str) -> Looked:
    return Looked(field=field, sha256s=(image.blob.sha256,), hash=image.blob.still.perceptual_hash or "")


def pack(user: User, spec: GenerationSpec, *, user_token: str = "") -> Brought:
    """Everything that goes out with the wish, read from the gallery's storage. Raises PictureGone."""
    if not spec.references and not spec.edit_of:
        return Brought(user_token=user_token) if user_token else NOTHING
    wanted = [*spec.references, *([spec.edit_of] if spec.edit_of else [])]
    found = {str(image.public_id): image for image in _images(user, wanted)}
    if gone := [public_id for public_id in wanted if public_id not in found]:
        raise PictureGone(f"the picture {gone[0]} is not kept any more")
    references = [_input(found[public_id]) for public_id in spec.references]
    steps = _steps(user, spec)
    if spec.edit_of and not steps:
        # A picture that the model did not sign, such as an upload, is looked at like any other.
        references = [_input(found[spec.edit_of]), *references]
    room = MAX_INPUT_IMAGES - len(references)
    earlier: list[Turn] = []
    for step in reversed(steps[:room]):
        earlier += _turns(step)
    return Brought(references=tuple(references), earlier=tuple(earlier), user_token=user_token)


def _images(user: User, public_ids: list[str]) -> list[Image]:
    return list(Image.objects.owned_by(user).with_blob().filter(public_id__in=public_ids))


def _steps(user: User, spec: GenerationSpec) -> list[_Step]:
    """The picture that is worked on and those before it, the latest first; empty if the model did not sign it."""
    steps: list[_Step] = []
    public_id = spec.edit_of
    while public_id and len(steps) < MAX_TURNS:
        output = (
            Output.objects.select_related("generation", "image__blob", "attempt")
            .filter(image__public_id=public_id, image__purged_at=None, generation__user=user)
            .first()
        )
        if output is None or not output.thought_signature:
            break
        steps.append(_Step(output.generation, output))
        public_id = GenerationSpec.from_canonical(output.generation.spec).edit_of
    return steps


def _turns(step: _Step) -> list[Turn]:
    attempt, output = step.output.attempt, step.output
    answer = Turn(
        role="model",
        text=attempt.text,
        text_signature=bytes(attempt.text_signature).decode() or None,
        images=(_input(output.image, bytes(output.thought_signature).decode()),),
    )
    return [Turn(role="user", text=step.generation.prompt), answer]


def _input(image: Image, thought_signature: str | None = None) -> InputImage:
    blob = image.blob.still
    with storage.open_stored(blob.storage_name) as file:
        data = base64.b64encode(file.read()).decode()
    return InputImage(mime_type=blob.mime_type, data=data, thought_signature=thought_signature)


def _weight(image: Image) -> int:
    return (image.blob.still.byte_size + 2) // 3 * 4
