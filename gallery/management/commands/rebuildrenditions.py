from itertools import chain

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Exists, OuterRef
from django.utils import timezone

from accounts.errors import ServiceError
from gallery import clip_copies, renditions
from gallery.models import Blob, Image
from gallery.review import resemblance

BATCH = 200


class Command(BaseCommand):
    help = (
        "Make the small copies and placeholders that are missing, and copies of an older recipe anew; also the"
        " perceptual hash of what was kept before there was one. May be interrupted: the next run goes on where this"
        " one ended. A picture that could not be rendered is left alone for a quarter of an hour."
    )

    def handle(self, *args: object, **options: object) -> None:
        made = placeholders = failed = resting = 0
        shown = Exists(Image.objects.filter(blob=OuterRef("pk")).exclude(kind="upload"))
        is_poster = Exists(Blob.objects.filter(poster=OuterRef("pk")))
        stills = Blob.objects.filter(shown | is_poster, poster=None).order_by("pk")
        clips = Blob.objects.filter(shown, renditions__format__in=clip_copies.FORMATS).order_by("pk")
        for blob in chain(stills.iterator(chunk_size=BATCH), clips.iterator(chunk_size=BATCH)):
            if blob.unrenderable_until is not None and blob.unrenderable_until > timezone.now():
                resting += 1
                continue
            try:
                lacks_placeholder = not blob.thumbhash
                made += renditions.rebuild(blob) if blob.duration_ms is None else clip_copies.rebuild(blob)
                renditions.add_thumbhash(blob)
                placeholders += lacks_placeholder and bool(blob.thumbhash)
            except ServiceError as error:
                failed += 1
                self.stderr.write(f"{blob.storage_name}: {error.message} ({error.code})")
        unknown = Blob.objects.filter(perceptual_hash=None, duration_ms=None).order_by("pk")
        for blob in unknown.iterator(chunk_size=BATCH):
            try:
                renditions.hash_still(blob)
            except ServiceError:  # told above, if it is shown at all
                continue
            resemblance.renew(blob)
        self.stdout.write(
            f"{made} copies and {placeholders} placeholders made;"
            f" {failed} pictures failed, {resting} are left alone for a while."
        )
        if failed:
            raise CommandError("Some copies could not be made; run it again later.", returncode=1)
