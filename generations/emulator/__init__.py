"""A stand-in for the upstream: it speaks its three protocols and paints its own pictures and clips.

It runs as a process of its own and imports none of our code, so that it stays an independent oracle for the client.
"""
