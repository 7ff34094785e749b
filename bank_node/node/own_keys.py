"""Which of a node's keys is its signing key now, and which have been."""

from bank_node.consortium import Book
from bank_node.identity import MissingKeyError, SigningKey, find_signing_key, latest
from bank_node.identity.keys import numbered
from bank_node.node.config import NodeConfig

__all__ = ["own_key", "own_keys"]


def own_key(config: NodeConfig, book: Book, now: int) -> SigningKey:
    """Return the key that the agreement in effect names; without one, the latest key.

    An agreement that is installed but not yet in effect may name a new key, which the others would
    refuse until its date.

    Raises:
        IdentityError: it is not there, or others can read it.
    """
    signed = book.in_effect(now)
    own = None if signed is None else signed.agreement.member(config.node.id)
    if own is not None:
        return find_signing_key(config.keys, own.key)
    path = latest(config.keys, "signing")
    if path is None:
        raise MissingKeyError(
            f"there is no signing key in {config.keys}", "Make one: undercurrent node init"
        )
    return SigningKey.load(path)


def own_keys(config: NodeConfig, book: Book) -> list[str]:
    """Return all public keys of this node: those of its folder, and those that agreements named.

    Any of them may have signed entries of its audit log; a private key may be gone by now.
    """
    found = {SigningKey.load(path).public for path in numbered(config.keys, "signing")}
    entries = (signed.agreement.member(config.node.id) for signed in book.versions())
    return sorted(found | {entry.key for entry in entries if entry is not None})
