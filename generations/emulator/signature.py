"""Thought signatures: opaque to clients, but bound to the bytes of one picture, so that a changed pair is noticed."""

import hashlib
import hmac

SECRET = b"plantain emulator"  # a signature outlives the process that gave it: pictures are edited days later


def sign(picture_sha256: bytes) -> bytes:
    """The signature, 192 bytes, that comes with the picture of this digest."""
    return hmac.digest(SECRET, picture_sha256, hashlib.sha512) * 3


def is_signature_of(signature: bytes, picture: bytes) -> bool:
    """Was this signature given out with exactly these bytes?"""
    return hmac.compare_digest(signature, sign(hashlib.sha256(picture).digest()))
