"""Static files as they are served outside development: named by content, compressed, cached for good."""

from django.contrib.staticfiles.storage import HashedFilesMixin
from whitenoise.storage import CompressedManifestStaticFilesStorage

# What an import in a module looks like is Django's business; which files are ours to rewrite is not.
_FILES, _IMPORTS = HashedFilesMixin._js_module_import_aggregation_patterns  # type: ignore[attr-defined]


class HashedModulesStorage(CompressedManifestStaticFilesStorage):
    """Also rewrites what our ES modules import from each other; libraries' scripts may name files that they lack."""

    support_js_module_import_aggregation = True
    _js_module_import_aggregation_patterns = (f"js/{_FILES}", _IMPORTS)
