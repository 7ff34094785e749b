"""The agreements that a node has installed, one file for each version, and which is in effect."""

from pathlib import Path

from bank_node.analyses import find_analysis
from bank_node.consortium.agreement import SignedAgreement
from bank_node.consortium.bounds import Finder
from bank_node.consortium.errors import AgreementError, VersionError
from bank_node.consortium.reading import load_agreement, parse_text, read_text
from bank_node.consortium.timetable import period_of
from bank_node.consortium.verification import (
    check_members,
    check_signatures,
    check_version,
    verify_agreement,
)
from bank_node.files import make_private_folder, replace_file

__all__ = ["Book"]

_Stamp = tuple[int, int, int]


class Book:
    """Installed agreements: ``consortium-<version>.toml`` in one folder.

    Signatures and certificates are verified again when a file is read, so that one that was
    changed on disk is not followed.
    """

    def __init__(self, folder: Path, finder: Finder = find_analysis) -> None:
        self.folder = folder
        self._finder = finder
        self._read: dict[Path, tuple[_Stamp, SignedAgreement]] = {}

    def versions(self) -> tuple[SignedAgreement, ...]:
        """Return all versions, ascending.

        Raises:
            AgreementError: a file is not what was installed; names it.
        """
        found = [self._verified(path) for path in self.folder.glob("consortium-*.toml")]
        return tuple(sorted(found, key=lambda signed: signed.agreement.version))

    def version(self, number: int) -> SignedAgreement | None:
        """Return a version, if it is installed."""
        path = self._path(number)
        return self._verified(path) if path.is_file() else None

    def install(self, path: Path) -> SignedAgreement:
        """Verify an agreement and keep it; to install the same one again changes nothing.

        Raises:
            AgreementError: it must not be used, or it does not follow what is installed.
        """
        text = read_text(path)
        signed = parse_text(text, str(path))
        number = signed.agreement.version
        same = self.version(number)
        if same is not None and same.hash != signed.hash:
            raise VersionError(
                f"another agreement is installed as version {number}",
                "Give the new one the next version: undercurrent consortium new --from",
            )
        previous = None if same is not None else self._before(number)
        verify_agreement(signed, previous=previous, finder=self._finder)
        if same is None:
            make_private_folder(self.folder)
            replace_file(self._path(number), text.encode())
        return signed

    def in_effect(self, now: int) -> SignedAgreement | None:
        """Return the agreement in effect: the latest version whose date has come, unless ended."""
        begun = [s for s in self.versions() if s.agreement.effective_us <= now]
        return begun[-1] if begun and now < begun[-1].agreement.expires_us else None

    def coming(self, now: int) -> SignedAgreement | None:
        """Return the next version that is to come into effect."""
        return next((s for s in self.versions() if s.agreement.effective_us > now), None)

    def period(self, now: int) -> tuple[str, int, int]:
        """Return the budget period of the agreement in effect: label, first microsecond, end.

        Where a version with ``budgets = "reset"`` came into effect within the period, its number is
        part of the label, so that the period begins anew.

        Raises:
            AgreementError: no agreement is in effect.
        """
        current = self.in_effect(now)
        if current is None:
            raise AgreementError(
                "no agreement is in effect", "Install one: undercurrent consortium install"
            )
        label, begin, end = period_of(current.agreement, now)
        resets = [
            s.agreement.version
            for s in self.versions()
            if s.agreement.version > 1
            and s.agreement.transition.budgets == "reset"
            and begin <= s.agreement.effective_us <= now
        ]
        return f"{label}/v{resets[-1]}" if resets else label, begin, end

    def _before(self, number: int) -> SignedAgreement | None:
        """Return the version that a new one must follow; None for the first one of this member."""
        installed = [signed.agreement.version for signed in self.versions()]
        if not installed:
            return None
        if number < max(installed):
            raise VersionError(
                f"version {max(installed)} is installed here, and {number} is older",
                "Nothing needs to be done",
            )
        before = self.version(number - 1)
        if before is None:
            raise VersionError(
                f"version {number - 1} is not installed here, so {number} cannot follow it",
                f"Install version {number - 1} first",
            )
        return before

    def _path(self, number: int) -> Path:
        return self.folder / f"consortium-{number}.toml"

    def _verified(self, path: Path) -> SignedAgreement:
        status = path.stat()
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        known = self._read.get(path)
        if known is not None and known[0] == stamp:
            return known[1]
        signed = load_agreement(path)
        try:
            if path != self._path(signed.agreement.version):
                raise VersionError("its name is not that of its version", "Install it again")
            check_members(signed.agreement)
            check_version(signed, None)
            check_signatures(signed)
        except AgreementError as error:
            raise type(error)(f"{path.name}: {error.message}", error.remedy) from error
        self._read[path] = (stamp, signed)
        return signed
