"""A stand-in for the upstream: it speaks the Gemini-native protocol and paints its own pictures.

It runs as a process of its own and imports none of our code, so that it stays an independent oracle for the client.
"""
