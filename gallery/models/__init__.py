from gallery.models.collections import MAX_NAME_CHARS as MAX_COLLECTION_NAME_CHARS
from gallery.models.collections import Collection, CollectionItem
from gallery.models.notices import Notice
from gallery.models.pictures import (
    HIDDEN_KINDS,
    MAX_ALT_TEXT_CHARS,
    MAX_TITLE_CHARS,
    RATIOS,
    SHAPES,
    SQUARE,
    STATES,
    Blob,
    Garbage,
    Image,
    ImageQuerySet,
    Rendition,
    new_publication_key,
    new_published_order,
)
from gallery.models.resemblance import Resemblance
from gallery.models.review import (
    MAX_APPEAL_CHARS,
    MAX_NOTE_CHARS,
    Appeal,
    Reason,
    Report,
    Reveal,
    Review,
    ReviewerSettings,
    ReviewStep,
    Statement,
)
from gallery.models.screening import PictureHit, Rule
from gallery.models.search import SearchEntry
from gallery.models.sharing import ShareLink

__all__ = [
    "HIDDEN_KINDS",
    "MAX_ALT_TEXT_CHARS",
    "MAX_APPEAL_CHARS",
    "MAX_COLLECTION_NAME_CHARS",
    "MAX_NOTE_CHARS",
    "MAX_TITLE_CHARS",
    "RATIOS",
    "SHAPES",
    "SQUARE",
    "STATES",
    "Appeal",
    "Blob",
    "Collection",
    "CollectionItem",
    "Garbage",
    "Image",
    "ImageQuerySet",
    "Notice",
    "PictureHit",
    "Reason",
    "Rendition",
    "Report",
    "Resemblance",
    "Reveal",
    "Review",
    "ReviewStep",
    "ReviewerSettings",
    "Rule",
    "SearchEntry",
    "ShareLink",
    "Statement",
    "new_publication_key",
    "new_published_order",
]
