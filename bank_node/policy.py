"""Output policies: what a result may give away."""

from dataclasses import dataclass

from bank_node.errors import ParameterError

__all__ = ["Policy", "parse_policy"]

_EXACT_BITS = 64


@dataclass(frozen=True)
class Policy:
    """An output policy.

    Attributes:
        name: as on the command line.
        bits_per_value: upper bound of the bits that one released value gives away.
    """

    name: str
    bits_per_value: int

    def disclosed_bits(self, padded_values: int) -> int:
        """Return the upper bound for a receiver, from public sizes."""
        return padded_values * self.bits_per_value


def parse_policy(text: str) -> Policy:
    """Return the policy; only ``exact`` exists in this version."""
    if text != "exact":
        raise ParameterError(
            f"policy {text!r} is not available in this version", "Use --policy exact"
        )
    return Policy("exact", _EXACT_BITS)
