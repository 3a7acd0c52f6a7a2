"""The Gemini-native protocol: pure codecs, for the client's side and for the server's."""

from generations.wire.gemini.assembly import Piece
from generations.wire.gemini.request import build_request, parse_request, request_path
from generations.wire.gemini.response import parse_response
from generations.wire.gemini.server import build_error, build_response
from generations.wire.gemini.stream import StreamReader, parse_stream

__all__ = [
    "Piece",
    "StreamReader",
    "build_error",
    "build_request",
    "build_response",
    "parse_request",
    "parse_response",
    "parse_stream",
    "request_path",
]
