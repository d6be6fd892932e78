"""Seals contents at rest: AES-256-GCM under a data key of each content's own, which lies beside it, wrapped (SPOOL §7).

Everything derives from one master by HKDF-SHA256 (RFC 5869), each purpose with its own label. No nonce ever comes
twice under one key: a data key seals each part of its content once, and the part's number is the nonce; a wrapping key
belongs to one process's life (16 random bytes go into it) and counts. A part sealed for another place, or a wrapped
key moved to another message, cannot be opened: the one is bound by its number, the other by the message's id and the
sizes of its content.
"""

import hmac
import itertools
import os
import struct
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from posthouse.ports import ContentUnreadableError

TAG_BYTES: Final = 16
"""What sealing adds to each part (NIST SP 800-38D §5.2.1.2)."""
HEADER: Final = 0
"""The number of the first part: the header, with the body where both lie in one row. Chunk n is part n + 1."""

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_SALT_BYTES: Final = 16
_SALT: Final = b"posthouse"
_CONTENT: Final = b"content key 1"
_NAME: Final = b"key id 1"
_LOG: Final = b"log hash 1"
_TOKEN: Final = b"access token 1"
_PLACE: Final = struct.Struct(">16sQQ?")
_KEPT_WRAPS: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """What contents are sealed with: the master in force, those before it while rotating, and whether new ones are.

    Without a ``master`` a SQLite spool has its own, which lies beside it.
    """

    master: str | None = field(default=None, repr=False)
    previous: tuple[str, ...] = field(default=(), repr=False)
    seal: bool = True


@dataclass(frozen=True, slots=True)
class Place:
    """What a wrapped key is bound to: the 16 bytes of the message's id, the sizes and the form of its content."""

    id: bytes
    header_size: int
    body_size: int
    chunked: bool

    def packed(self) -> bytes:
        """The associated data of the wrapping."""
        return _PLACE.pack(self.id, self.header_size, self.body_size, self.chunked)


class Seal:
    """The data key of one content, in use."""

    __slots__ = ("_cipher", "key")

    def __init__(self, key: bytes) -> None:
        self.key = key
        self._cipher = AESGCM(key)

    def close(self, part: int, data: bytes) -> bytes:
        """A part as it is kept; each number once."""
        return self._cipher.encrypt(part.to_bytes(_NONCE_BYTES, "big"), data, None)

    def open(self, part: int, sealed: bytes) -> bytes:
        """What was sealed as this part; raises ContentUnreadableError where it was changed."""
        try:
            return self._cipher.decrypt(part.to_bytes(_NONCE_BYTES, "big"), sealed, None)
        except (InvalidTag, ValueError):  # ValueError: shorter than a tag
            raise ContentUnreadableError("a part of the content was changed where it lies") from None


class _Wrapping:
    """One master's wrapping of data keys."""

    def __init__(self, master: str) -> None:
        self._key = derive(master, _CONTENT)
        self._salt = os.urandom(_SALT_BYTES)
        self._numbers = itertools.count()
        self._ciphers: dict[bytes, AESGCM] = {}

    def wrap(self, key: bytes, place: Place) -> bytes:
        number = next(self._numbers).to_bytes(_NONCE_BYTES, "big")
        return self._salt + number + self._cipher(self._salt).encrypt(number, key, place.packed())

    def unwrap(self, wrapped: bytes, place: Place) -> bytes:
        salt, number = wrapped[:_SALT_BYTES], wrapped[_SALT_BYTES : _SALT_BYTES + _NONCE_BYTES]
        try:
            return self._cipher(salt).decrypt(number, wrapped[_SALT_BYTES + _NONCE_BYTES :], place.packed())
        except (InvalidTag, ValueError):
            raise ContentUnreadableError("the key of the content was changed where it lies") from None

    def _cipher(self, salt: bytes) -> AESGCM:
        cipher = self._ciphers.get(salt)
        if cipher is None:
            if len(self._ciphers) >= _KEPT_WRAPS:
                self._ciphers.clear()
            cipher = self._ciphers[salt] = AESGCM(HKDFExpand(hashes.SHA256(), _KEY_BYTES, salt).derive(self._key))
        return cipher


class Keyring:
    """What opens and seals contents: the master in force and those before it; knows no engine of the spool."""

    def __init__(self, master: str, *, previous: Collection[str] = (), seal: bool = True) -> None:
        self.key_id = key_id(master)
        self.seals = seal
        self.log_key = derive(master, _LOG)
        """For the keyed hash that stands for a recipient's address in logs and audit rows (CONTRACT §3, §7)."""
        self.token_keys = {key_id(one): derive(one, _TOKEN) for one in (master, *previous)}
        """What access tokens are signed with, by the id of the master; the one in force comes first (CONTRACT §3)."""
        self._wrappings = {key_id(one): _Wrapping(one) for one in (master, *previous)}
        self._current = self._wrappings[self.key_id]

    @property
    def key_ids(self) -> frozenset[str]:
        """Of all the masters at hand."""
        return frozenset(self._wrappings)

    def new(self) -> Seal:
        """A new data key for one content."""
        return Seal(os.urandom(_KEY_BYTES))

    def wrap(self, seal: Seal, place: Place) -> bytes:
        """The data key as it lies beside its content, under the master in force (``key_id``)."""
        return self._current.wrap(seal.key, place)

    def open(self, key_id: str, wrapped: bytes, place: Place) -> Seal:
        """The data key of a content; raises ContentUnreadableError."""
        wrapping = self._wrappings.get(key_id)
        if wrapping is None:
            raise ContentUnreadableError(f"the content is sealed under another master (key id {key_id})")
        return Seal(wrapping.unwrap(wrapped, place))

    def pseudonym(self, address: str) -> str:
        """What stands for an address where it must not: the same for the same one, and only for who has the master."""
        return hmac.digest(self.log_key, address.casefold().encode(), "sha256")[:8].hex()

    def rewrap(self, key_id: str, wrapped: bytes, place: Place) -> bytes:
        """The same data key under the master in force; raises ContentUnreadableError."""
        return self.wrap(self.open(key_id, wrapped, place), place)


def derive(master: str, purpose: bytes) -> bytes:
    """32 bytes for one purpose, from which nothing follows about the master or another purpose (RFC 5869)."""
    return HKDF(hashes.SHA256(), _KEY_BYTES, _SALT, purpose).derive(master.encode())


def key_id(master: str) -> str:
    """The name of a master: 16 hexadecimal digits that reveal nothing of it."""
    return derive(master, _NAME)[:8].hex()


def new_master(chance: Callable[[int], bytes] = os.urandom) -> str:
    """A master of 256 random bits, as 64 hexadecimal digits."""
    return chance(_KEY_BYTES).hex()
