"""What an owner decides about others in one go: who sees a picture, with which words, and whether with its prompt."""

from uuid import UUID

from django.db.models import F

from accounts.errors import InvalidInput
from accounts.models import User
from gallery import services
from gallery.models import Image
from gallery.review import owners


def choose_visibility(
    *,
    owner: User,
    public_id: UUID | str,
    visibility: str,
    alt_text: str | None = None,
    discloses_prompt: bool | None = None,
) -> Image:
    """Keep a picture of `owner` private, or ask that others may see it (`owners.request_publication`).

    None leaves the alternative text and whether the prompt is shown as they are. When the request is refused, the
    words stay changed and nothing else. Raises NotFound, InvalidInput and Conflict.
    """
    is_private = visibility == Image.Visibility.PRIVATE
    if is_private:
        owners.withdraw(owner=owner, public_id=public_id)
    if alt_text is not None and (is_private or alt_text.strip()):
        services.edit_image(owner=owner, public_id=public_id, alt_text=alt_text)
    if not is_private:
        if alt_text is not None and not alt_text.strip():
            raise InvalidInput.of("alt_text", "Say in a sentence what the picture shows, for those who cannot see it.")
        owners.request_publication(owner=owner, public_id=public_id, visibility=visibility)
    if discloses_prompt is not None:
        Image.objects.owned_by(owner).filter(public_id=public_id).exclude(discloses_prompt=discloses_prompt).update(
            discloses_prompt=discloses_prompt, version=F("version") + 1
        )
    return Image.objects.owned_by(owner).with_blob().get_public(public_id)
