"""Static files as production serves them: everything that a page names is there, under a name made of its content."""

import json
import re
from pathlib import Path

import pytest
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.management import call_command

ROOT = Path(__file__).resolve().parents[2]
HASHED = re.compile(r"\.[0-9a-f]{12}\.")


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    """The directory after `collectstatic`, and its manifest."""
    from django.test import override_settings

    directory = tmp_path_factory.mktemp("static")
    storages = {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "staticfiles": {"BACKEND": "config.staticfiles.HashedModulesStorage"},
    }
    with override_settings(STORAGES=storages, STATIC_ROOT=directory):
        call_command("collectstatic", interactive=False, verbosity=0)
        assert type(staticfiles_storage._wrapped).__name__ == "HashedModulesStorage"
    return directory, json.loads((directory / "staticfiles.json").read_text())["paths"]


def test_every_file_that_a_template_names_is_there(collected):
    _, manifest = collected
    named = set()
    for template in (ROOT / "templates").rglob("*.html"):
        named |= set(re.findall(r"""{% static ['"]([^'"]+)['"]""", template.read_text()))
    assert len(named) > 15
    assert {name for name in named if name not in manifest} == set()
    assert all(HASHED.search(manifest[name]) for name in named)


def test_our_modules_import_each_other_by_their_hashed_names(collected):
    directory, manifest = collected
    studio = (directory / manifest["js/studio.js"]).read_text()
    assert f'from "./{Path(manifest["js/app.js"]).name}"' in studio


def test_text_is_compressed_beforehand(collected):
    directory, manifest = collected
    for name in ("css/components.css", "js/app.js"):
        assert (directory / (manifest[name] + ".gz")).stat().st_size < (directory / manifest[name]).stat().st_size
