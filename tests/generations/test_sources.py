"""A picture copies the pages that a search found for it, and loses them when the search itself is dropped."""

from datetime import timedelta
from importlib import import_module

import pytest
from django.apps import apps
from django.db import connection
from django.utils import timezone

from gallery import erasure, services
from gallery.models import Image
from generations import sweeper
from generations.models import Evidence
from generations.spec import GenerationSpec
from tests.generations.fakes import picture, reply

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = {"uri": "https://example.org/fox", "name": "Foxes"}
GROUNDING = {
    "webSearchQueries": ["fox"],
    "groundingChunks": [
        {"web": {"uri": "https://example.org/fox", "title": "Foxes", "domain": "example.org"}},
        {"web": {"uri": "http://example.org/plain", "title": "Plain", "domain": "example.org"}},
    ],
    "searchEntryPoint": {"renderedContent": "<div>entry</div>"},
}


@pytest.fixture
def grounded(alice, upstream, submit, work):
    """The picture of a wish with a search, and one of a wish without."""
    upstream.says(reply(picture(), groundingMetadata=GROUNDING), reply(picture()))
    wish = GenerationSpec.parse({"prompt": "a fox", "grounding": True}, default_image_size="1K")
    job = work(submit(alice, wish=wish))
    work(submit(alice))
    return job.outputs.get().image


def test_only_the_picture_of_the_search_has_them(grounded):
    assert grounded.sources == [PAGE]
    assert Image.objects.exclude(pk=grounded.pk).get().sources == []


def test_they_go_with_the_search_after_its_days(grounded, settings):
    settings.GROUNDING_RETENTION_DAYS = 30
    Evidence.objects.update(created_at=timezone.now() - timedelta(days=29))
    assert sweeper.sweep().searches_dropped == 0
    grounded.refresh_from_db()
    assert grounded.sources == [PAGE]
    Evidence.objects.update(created_at=timezone.now() - timedelta(days=31))
    assert sweeper.sweep().searches_dropped == 1
    grounded.refresh_from_db()
    assert grounded.sources == []
    assert not Evidence.objects.exists()


def test_they_go_with_the_picture(alice, grounded):
    services.trash_image(owner=alice, public_id=grounded.public_id)
    erasure.purge_trashed(owner=alice, public_id=grounded.public_id)
    grounded.refresh_from_db()
    assert grounded.sources == []


def test_pictures_that_were_there_before_copy_what_is_still_kept(grounded):
    Image.objects.update(sources=[])
    migration = import_module("generations.migrations.0011_sources_of_pictures")
    with connection.schema_editor() as editor:
        migration.copy_sources(apps, editor)
    assert [image.sources for image in Image.objects.order_by("pk")] == [[PAGE], []]
