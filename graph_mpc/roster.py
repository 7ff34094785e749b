"""Who takes part in a run, and who helps whom.

A run has m >= 3 parties.  An *owner* holds vertices; a party without data only computes.  Each
owner b has two helpers h1 and h2 among the others: every value of b is shared between b and one of
them.  For m = 3 they are the two others; for m > 3 they are spread evenly (protocol design, section
3).
"""

from dataclasses import dataclass

from graph_mpc.errors import ParameterError, TooFewParties

__all__ = ["Roster"]


@dataclass(frozen=True)
class Roster:
    """The parties of a run, in the order of their numbers.

    Attributes:
        ids: name of each party.
        owners: numbers of the parties that hold data, ascending.
    """

    ids: tuple[str, ...]
    owners: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.ids) < 3:
            raise TooFewParties(
                f"a run of {len(self.ids)} parties has no honest majority and so no privacy",
                "add a bank, or a compute party that holds no data",
            )
        if len(set(self.ids)) != len(self.ids):
            raise ParameterError("two parties have the same id", "give each party its own id")
        if not self.owners:
            raise ParameterError("no party holds data", "name at least one bank")
        if list(self.owners) != sorted(set(self.owners) & set(range(len(self.ids)))):
            raise ParameterError(
                f"the owners {self.owners} are not ascending numbers of parties",
                "name each party that holds data once, in order",
            )

    @property
    def parties(self) -> int:
        """Number of parties, m."""
        return len(self.ids)

    @property
    def owner_ids(self) -> tuple[str, ...]:
        """Names of the owners."""
        return tuple(self.ids[owner] for owner in self.owners)

    def helpers(self, owner: int) -> tuple[int, int]:
        """Return (h1, h2) of an owner: the two parties after it, cyclically."""
        m = self.parties
        return (owner + 1) % m, (owner + 2) % m

    def third(self, first: int, second: int) -> int:
        """Return a party other than the two, spread over the pairs."""
        others = [p for p in range(self.parties) if p not in (first, second)]
        return others[(first + second) % len(others)]
