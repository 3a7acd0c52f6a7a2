"""The pictures around one: its neighbours in the library, what its wish brought along, its family and what that cost.

A family are the generations that go back to one another (parents.py). All of it counts in the money, only what is kept
is shown, the nearest first and a bounded number of it: two queries, however large it is.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Case, Count, F, IntegerField, OuterRef, Q, QuerySet, Subquery, Sum, Value, When, Window
from django.db.models.functions import Coalesce

from accounts.models import Transfer, User
from gallery.models import HIDDEN_KINDS, Image
from gallery.tiles import Tile, tile_of
from generations import catalog, receipts
from generations.models import Generation, Output
from generations.spec import GenerationSpec

BESIDE = 3  # pictures on either side in the strip below
NEAR_RUNS = 24  # generations of a family whose pictures are looked for
SHOWN = 12  # pictures of each part of a family


@dataclass(frozen=True, slots=True)
class Member:
    """One picture of a family; its cost in micro-USD is None for one that no job has made."""

    tile: Tile
    role: str
    size: str
    cost: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What goes back to one another: the parts of it that are shown, and figures of all of it in micro-USD.

    `more` counts its pictures that are kept and have no place here; `gone` those that were thrown away.
    """

    begun_from: list[Member]
    children: list[Member]
    relatives: list[Member]
    runs: int
    pictures: int
    more: int
    gone: int
    cost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What stands around a picture on its page; `newer` and `older` in the library's order, newest first."""

    newer: list[Tile]
    older: list[Tile]
    made_from: Member | None = None
    looked_at: tuple[Member, ...] = ()
    variations: tuple[Member, ...] = ()
    family: Family | None = None


def around(user: User, picture: Image, made_by: Generation | None) -> Around:
    """What belongs around one of the user's own pictures, in two queries, or one where no job has made it."""
    runs = list(_runs_near(made_by)) if made_by else []
    spec = GenerationSpec.from_canonical(made_by.spec) if made_by else None
    brought = [UUID(name) for name in (*spec.references, spec.edit_of) if name] if spec else []
    images = list(_images_of(user, picture, brought, runs))
    newer, older = _beside(picture, images)
    if made_by is None or spec is None:
        return Around(newer=newer, older=older)
    by_id = {image.public_id: image for image in images}
    worked_on = by_id.get(UUID(spec.edit_of)) if spec.edit_of else None
    looked_at = [by_id[UUID(name)] for name in spec.references if UUID(name) in by_id]
    of_family = {run.pk: run for run in runs}
    kin = [image for image in images if _generation_of(image) in of_family and _is_listed(image)]
    kin = [image for image in kin if image.pk != picture.pk]
    siblings = [image for image in kin if _generation_of(image) == made_by.pk]
    placed = [*siblings, *([worked_on] if worked_on else []), *looked_at]
    return Around(
        newer=newer,
        older=older,
        made_from=_member(worked_on, picture, "Worked on") if worked_on else None,
        looked_at=tuple(_member(image, picture, "Looked at") for image in looked_at),
        variations=tuple(_member(image, picture, "") for image in siblings),
        family=_family(picture, made_by, of_family, kin, placed),
    )


def _family(
    picture: Image, made_by: Generation, runs: dict[int, Generation], kin: list[Image], placed: list[Image]
) -> Family | None:
    """None for a generation that is alone; `kin` are its listed pictures but for the one that is looked at."""
    whole = runs[made_by.pk]
    if whole.runs == 1:  # type: ignore[attr-defined]  # annotations, here and below
        return None
    taken = {image.pk for image in placed}
    left = [image for image in kin if image.pk not in taken]
    begun_from = [image for image in left if _is_parent(image, made_by)]
    children = [image for image in left if _is_child(runs[_generation_of(image)], picture, made_by)]
    relatives = [image for image in left if image not in begun_from and image not in children]
    shown = [*begun_from[:SHOWN], *children[:SHOWN], *relatives[:SHOWN]]
    here = len(shown) + sum(image.pk in taken for image in kin) + _is_listed(picture)
    return Family(
        begun_from=[_member(image, picture, "Begun from") for image in begun_from[:SHOWN]],
        children=[_member(image, picture, _step(picture, image)) for image in children[:SHOWN]],
        relatives=[_member(image, picture, "") for image in relatives[:SHOWN]],
        runs=whole.runs,  # type: ignore[attr-defined]
        pictures=whole.kept,  # type: ignore[attr-defined]
        more=max(0, whole.kept - here),  # type: ignore[attr-defined]
        gone=whole.made - whole.kept,  # type: ignore[attr-defined]
        cost=whole.captured - whole.refunded,  # type: ignore[attr-defined]
    )


def _is_parent(image: Image, made_by: Generation) -> bool:
    if made_by.parent_image_id is not None:
        return image.pk == made_by.parent_image_id
    return _generation_of(image) == made_by.parent_id


def _is_child(run: Generation, picture: Image, made_by: Generation) -> bool:
    """Whether it was begun from this picture, or from its generation without a word on which picture was meant."""
    return run.parent_id == made_by.pk and run.parent_image_id in (None, picture.pk)


def _step(picture: Image, child: Image) -> str:
    sizes = list(catalog.SIZES)
    if picture.image_size not in sizes or child.image_size not in sizes or child.image_size == picture.image_size:
        return "Variation"
    return "Larger" if sizes.index(child.image_size) > sizes.index(picture.image_size) else "Smaller"


def _member(image: Image, picture: Image, role: str) -> Member:
    size = image.image_size or f"{image.blob.width} × {image.blob.height}"
    return Member(tile=tile_of(image), role=role, size=size, cost=_cost(image))


def _cost(image: Image) -> int | None:
    """Its part of what its job has moved, from the ledger."""
    if not hasattr(image, "output"):
        return None
    output: Output = image.output
    return receipts.part_of(
        output,
        captured=image.captured or 0,  # type: ignore[attr-defined]  # annotations of _images_of
        refunded=image.refunded or 0,  # type: ignore[attr-defined]
        price=image.each,  # type: ignore[attr-defined]
    ).net


def _generation_of(image: Image) -> int:
    return image.output.generation_id if hasattr(image, "output") else 0


def _is_listed(image: Image) -> bool:
    """The condition of ImageQuerySet.listed."""
    return image.trashed_at is None and image.kind not in HIDDEN_KINDS


def _beside(picture: Image, images: Iterable[Image]) -> tuple[list[Tile], list[Tile]]:
    """The nearest of a list: whatever else is in it is further away than the true neighbours, which are in it too."""
    if picture.is_upload:
        row = [image for image in images if image.is_upload and image.trashed_at is None]
    else:
        row = [image for image in images if _is_listed(image)]
    newer = sorted((image for image in row if image.pk > picture.pk), key=lambda image: image.pk)[:BESIDE]
    older = sorted((image for image in row if image.pk < picture.pk), key=lambda image: -image.pk)[:BESIDE]
    return [tile_of(image) for image in reversed(newer)], [tile_of(image) for image in older]


# --- Two queries ---------------------------------------------------------------------------------


def _runs_near(made_by: Generation) -> QuerySet[Generation]:
    """The nearest generations of the family, each with figures of the whole of it, as the ledger has them."""
    root = made_by.family_id or made_by.pk
    pictures = Output.objects.filter(generation=OuterRef("pk"), is_draft=False).order_by()
    made = pictures.values("generation").annotate(many=Count("pk")).values("many")
    kept = pictures.filter(image__trashed_at=None).values("generation").annotate(many=Count("pk")).values("many")
    nearness = [When(pk=made_by.pk, then=0), When(parent=made_by.pk, then=2)]
    if made_by.parent_id:
        nearness += [When(pk=made_by.parent_id, then=1), When(parent=made_by.parent_id, then=3)]
    return (
        Generation.objects.filter(Q(pk=root) | Q(family=root))
        .annotate(
            runs=Window(Count("pk")),
            made=_sum_of_all(Subquery(made)),
            kept=_sum_of_all(Subquery(kept)),
            captured=_sum_of_all(F("hold__resolution__amount_micros")),
            refunded=_sum_of_all(_refunded("hold")),
            nearness=Case(*nearness, default=4),
        )
        .only("public_id", "parent", "parent_image")
        .order_by("nearness", "-pk")[:NEAR_RUNS]
    )


def _sum_of_all(expression: F | Subquery) -> Coalesce:
    return Coalesce(Window(Sum(expression, output_field=IntegerField())), Value(0))


def _refunded(hold: str) -> Subquery:
    """What was given back of the capture that resolved a hold; a refund is a transfer of its own."""
    refunds = Transfer.objects.filter(refunds__hold=OuterRef(hold)).order_by()
    return Subquery(refunds.values("refunds__hold").annotate(total=Sum("amount_micros")).values("total"))


def _images_of(user: User, picture: Image, brought: list[UUID], runs: list[Generation]) -> QuerySet[Image]:
    """The neighbours, what was brought along and what these generations have made, each with what its job has moved.

    By their keys, in one list of subqueries: an OR between them would have to read every picture.
    """
    own = Image.objects.owned_by(user)
    row = own.uploads() if picture.is_upload else own.listed()
    # SQLite takes no limit in a part of a union, and takes it one level further down.
    parts = [
        Image.objects.filter(pk__in=near.values("pk"))
        for near in (
            row.filter(pk__gt=picture.pk).order_by("pk")[:BESIDE],
            row.filter(pk__lt=picture.pk).order_by("-pk")[:BESIDE],
        )
    ]
    if brought:
        parts.append(own.filter(public_id__in=brought))
    if runs:
        parts.append(own.listed().filter(source_reference__in=[str(run.public_id) for run in runs]))
    first, *others = (part.order_by().values("pk") for part in parts)
    images = own.filter(pk__in=first.union(*others)).select_related("blob", "output").defer("output__thought_signature")
    hold = "output__generation__hold"
    return images.annotate(
        captured=F(f"{hold}__resolution__amount_micros"),
        each=F(f"{hold}__resolution__price__amount_micros"),
        refunded=_refunded(hold),
    ).order_by("pk")
