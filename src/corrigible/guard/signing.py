"""The guard's key and its other secrets: files that their owner alone may read.

A `SigningKey` is an Ed25519 key (RFC 8032).  Who has its file can sign whatever they like: keep
it where the agent cannot reach, and keep signed heads of the ledger elsewhere.
"""

import contextlib
import hashlib
import os
import secrets
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from corrigible.errors import LedgerError

SALT_BYTES = 32

_LONGEST = 4096  # bytes of a file that holds one key
_OTHERS = 0o077


@dataclass(frozen=True)
class PublicKey:
    """What checks signatures; `raw` is the 32 bytes of the key."""

    raw: bytes

    @property
    def fingerprint(self) -> str:
        """The sha256 of the raw key: what names it in heads and reports."""
        return "sha256:" + hashlib.sha256(self.raw).hexdigest()

    def signed(self, message: bytes, signature: bytes) -> bool:
        """Say whether the key's owner signed the message."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True

    def pem(self) -> str:
        """Return the key as text for other programs; `parse_public_key` reads it."""
        key = Ed25519PublicKey.from_public_bytes(self.raw)
        return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@dataclass(frozen=True)
class SigningKey:
    """The guard's own key.  It is never shown: `repr` leaves it out."""

    private: Ed25519PrivateKey = field(repr=False)
    public: PublicKey

    def sign(self, message: bytes) -> bytes:
        """Return the signature, 64 bytes."""
        return self.private.sign(message)


def signing_key(path: Path, *, create: bool = True) -> SigningKey:
    """Return the key that `path` holds; where there is none, make one (0600) if `create`.

    Raises:
        LedgerError: there is no key and none is to be made; the file is a link, is another
            user's, may be read by others, or holds no Ed25519 key in PEM.
    """
    text = private_bytes(path, _new_key if create else None)
    try:
        key = load_pem_private_key(text, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise LedgerError(f"{path} must hold a private key in PEM without password") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise LedgerError(f"{path} must hold an Ed25519 key, got {type(key).__name__}")
    return SigningKey(key, PublicKey(key.public_key().public_bytes_raw()))


def parse_public_key(text: str) -> PublicKey:
    """Return the public key in a PEM text, as `PublicKey.pem` wrote it.

    Raises:
        LedgerError: the text holds no Ed25519 public key.
    """
    try:
        key = load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise LedgerError(f"a public key must be one in PEM, got {text[:40]!r}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise LedgerError(f"the public key must be an Ed25519 key, got {type(key).__name__}")
    return PublicKey(key.public_bytes_raw())


def ledger_salt(key_path: Path) -> bytes:
    """Return the 32 random bytes of `ledger.salt` beside the key; made where there are none.

    Raises:
        LedgerError: the file is a link, another user's, readable by others or of another length.
    """
    path = key_path.with_name("ledger.salt")
    salt = private_bytes(path, lambda: secrets.token_bytes(SALT_BYTES))
    if len(salt) != SALT_BYTES:
        raise LedgerError(f"{path} must hold {SALT_BYTES} bytes, got {len(salt)}")
    return salt


def private_bytes(path: Path, make: Callable[[], bytes] | None) -> bytes:
    """Return what a private file holds; `make` gives it where there is no file yet.

    A file appears whole or not at all, and if two processes make it at once both get the same.

    Raises:
        LedgerError: there is no file and nothing makes it, or it is no regular file of this
            user's that nobody else may read.
    """
    try:
        return _read(path)
    except FileNotFoundError as error:
        if make is None:
            raise LedgerError(f"{path} must hold the guard's key, got no file") from error
    except OSError as error:
        raise LedgerError(f"{path}: {error.strerror}; it must be a file, no link") from error
    try:
        _write_whole(path, make())
        return _read(path)
    except OSError as error:
        raise LedgerError(f"{path} cannot be made: {error.strerror}") from error


def _new_key() -> bytes:
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _read(path: Path) -> bytes:
    # Without O_NONBLOCK a pipe put in the file's place would hold the guard up for ever.
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(file)
        mode = stat.S_IMODE(found.st_mode)
        if not stat.S_ISREG(found.st_mode):
            raise LedgerError(f"{path} must be a regular file")
        if found.st_uid != os.geteuid():
            who = f"user {os.geteuid()}, who runs the guard, got user {found.st_uid}"
            raise LedgerError(f"{path} must belong to {who}")
        if mode & _OTHERS:
            raise LedgerError(f"{path} must be its owner's alone, got mode {mode:o}; chmod 600 it")
        if found.st_size > _LONGEST:
            raise LedgerError(f"{path} must have {_LONGEST} bytes at most, got {found.st_size}")
        return os.read(file, _LONGEST)
    finally:
        os.close(file)


def _write_whole(path: Path, content: bytes) -> None:
    made = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    file = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            os.write(file, content)  # a few bytes: written whole, or the read after it tells
            os.fsync(file)
        finally:
            os.close(file)
        with contextlib.suppress(FileExistsError):  # another process was first: theirs counts
            os.link(made, path)
    finally:
        made.unlink()
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a loss of power."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
