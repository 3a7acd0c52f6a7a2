"""Static files as they are served outside development: named by content, compressed, cached for good."""

from whitenoise.storage import CompressedManifestStaticFilesStorage


class HashedModulesStorage(CompressedManifestStaticFilesStorage):
    """Also rewrites what our ES modules import from each other."""

    support_js_module_import_aggregation = True
