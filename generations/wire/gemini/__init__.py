"""The Gemini-native protocol: pure codecs, for the client's side and for the server's."""

from generations.wire.gemini.request import build_request, parse_request, request_path
from generations.wire.gemini.response import InlineImage, ParsedReply, UpstreamError, parse_response
from generations.wire.gemini.server import build_error, build_response

__all__ = [
    "InlineImage",
    "ParsedReply",
    "UpstreamError",
    "build_error",
    "build_request",
    "build_response",
    "parse_request",
    "parse_response",
    "request_path",
]
