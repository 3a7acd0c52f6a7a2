"""Search evidence as the upstream returns it: queries, sources, and the search entry that has to be shown as it is."""

import base64
import html
from urllib.parse import quote_plus

import orjson

from generations.emulator.answers import Plan

# Google's own entry comes with a style sheet and chips that lead to a search.
SEARCH_ENTRY = """<style>
.container { align-items: center; border-radius: 8px; display: flex; font-family: sans-serif; padding: 8px 12px; }
.chip { border: 1px solid #9aa0a6; border-radius: 16px; color: #1a73e8; margin-left: 8px; padding: 5px 16px; }
@media (prefers-color-scheme: dark) { .container { background: #1f1f1f; } .chip { color: #8ab4f8; } }
</style>
<div class="container"><svg width="18" height="18" viewBox="0 0 18 18" aria-hidden="true">\
<circle cx="8" cy="8" r="5" fill="none" stroke="#5f6368" stroke-width="2"/></svg>\
<a class="chip" href="https://www.google.com/search?q={address}">{query}</a></div>
"""
GALLERY = {
    "sourceUri": "https://example.com/gallery",
    "imageUri": "https://example.com/gallery/1.png",
    "title": "Example gallery",
    "domain": "example.com",
}


def find_evidence(plan: Plan, parts: list[dict]) -> dict:
    """The groundingMetadata of an answer; it supports the first text that is not a thought."""
    query = " ".join(plan.order.prompt.split()[:8])
    entry = SEARCH_ENTRY.replace("{address}", quote_plus(query)).replace("{query}", html.escape(query))
    texts = ((index, part.get("text")) for index, part in enumerate(parts) if not part.get("thought"))
    spoken = [(index, text) for index, text in texts if text][:1]
    segments = [
        {"partIndex": index, "startIndex": 0, "endIndex": len(text.encode()), "text": text} for index, text in spoken
    ]
    return {
        "webSearchQueries": [query],
        "imageSearchQueries": [query],
        "searchEntryPoint": {
            "renderedContent": entry + plan.search_entry_extra,
            "sdkBlob": base64.b64encode(orjson.dumps([[query, f"https://www.google.com/search?q={query}"]])).decode(),
        },
        "groundingChunks": [
            {"web": {"uri": "https://example.com/source", "title": "example.com", "domain": "example.com"}},
            {"image": GALLERY},
        ],
        "groundingSupports": [
            {"segment": segment, "groundingChunkIndices": [0], "confidenceScores": [0.9]} for segment in segments
        ],
        "retrievalMetadata": {"googleSearchDynamicRetrievalScore": 0.5},
    }
