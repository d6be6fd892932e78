"""The forms of what a client proves itself with: API keys and the short passwords of devices (CONTRACT §3)."""

import string
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

PREFIX: Final = "ph_live_"
ID_LETTERS: Final = 10
SECRET_LETTERS: Final = 32
CHECK_LETTERS: Final = 6

DEVICE_PREFIX: Final = "d-"
DEVICE_LETTERS: Final = 8
PASSWORD_LETTERS: Final = 24
"""Printers cut passwords at 32; so many letters and digits are 142 bits."""

_BASE62: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_BASE36: Final = string.digits + string.ascii_lowercase
_LENGTH: Final = len(PREFIX) + ID_LETTERS + 1 + SECRET_LETTERS + CHECK_LETTERS


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key or a password at the only moment when it is known; what is kept are ``id`` and ``hash``."""

    id: str
    text: str = field(repr=False)
    hash: bytes = field(repr=False)


def make_key(chance: Callable[[int], bytes]) -> NewKey:
    """A new key: 190 random bits need no pepper."""
    key_id = _letters(chance, ID_LETTERS, _BASE62)
    stem = f"{PREFIX}{key_id}_{_letters(chance, SECRET_LETTERS, _BASE62)}"
    text = stem + _check(stem)
    return NewKey(key_id, text, hash_key(text))


def make_device(chance: Callable[[int], bytes]) -> NewKey:
    """A new device: its user, which is its id, and a password that can be typed at a panel."""
    text = _letters(chance, PASSWORD_LETTERS, _BASE62)
    return NewKey(DEVICE_PREFIX + _letters(chance, DEVICE_LETTERS, _BASE36), text, hash_key(text))


def key_id_of(text: str) -> str | None:
    """The id inside a key; None where the text is none or mistyped (its CRC32 does not fit)."""
    if len(text) != _LENGTH or not text.startswith(PREFIX) or not text.isascii():
        return None
    stem, check = text[:-CHECK_LETTERS], text[-CHECK_LETTERS:]
    key_id, separator, secret = stem[len(PREFIX) :].partition("_")
    sound = separator and len(key_id) == ID_LETTERS and secret.isalnum() and key_id.isalnum()
    return key_id if sound and check == _check(stem) else None


def hash_key(text: str) -> bytes:
    """What is kept of a key: its SHA-256."""
    return sha256(text.encode()).digest()


def _letters(chance: Callable[[int], bytes], count: int, alphabet: str) -> str:
    letters, fair = "", 256 - 256 % len(alphabet)
    while len(letters) < count:
        # a byte above the last whole round would make some letters likelier
        letters += "".join(alphabet[byte % len(alphabet)] for byte in chance(count) if byte < fair)
    return letters[:count]


def _check(stem: str) -> str:
    number = zlib.crc32(stem.encode())
    letters = ""
    for _ in range(CHECK_LETTERS):
        number, rest = divmod(number, len(_BASE62))
        letters = _BASE62[rest] + letters
    return letters
