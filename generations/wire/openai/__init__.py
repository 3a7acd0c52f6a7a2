"""OpenAI's protocols as resellers speak them: chat completions and images; pure codecs of the client's side."""

from generations.wire.openai import chat, images

__all__ = ["chat", "images"]
