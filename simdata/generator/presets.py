"""Settings under a name, each for one purpose, and files that change one of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bank_node.errors import ParameterError
from simdata.generator.config import GeneratorConfig, check_config, merged, read_toml

__all__ = ["PRESETS", "find_preset", "read_config"]

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "small": {},
    "medium": {
        "size": {"banks": 5, "accounts": 20_000, "days": 60, "payments_per_account": 12.0},
        "laundering": {"illicit": 0.03},
    },
    "large": {
        "size": {"banks": 10, "accounts": 1_000_000, "days": 90, "payments_per_account": 10.0},
        "laundering": {"illicit": 0.01},
    },
    "low-illicit": {
        "size": {"banks": 5, "accounts": 50_000, "days": 60, "payments_per_account": 12.0},
        "laundering": {"illicit": 0.002},
    },
}
"""What each preset changes of the defaults; ``small`` is the defaults themselves."""


def find_preset(name: str) -> GeneratorConfig:
    """The settings of a preset.

    Raises:
        ParameterError: there is no such preset.
    """
    return check_config(_preset_values(name))


def read_config(
    path: Path | None = None,
    preset: str | None = None,
    changes: Mapping[str, Mapping[str, Any]] | None = None,
) -> GeneratorConfig:
    """Settings of a preset, changed by a TOML file, changed by single settings.

    Args:
        path: the file; None: none.
        preset: the preset to start from; None: the one that the file names, or ``small``.
        changes: sections with single settings that win over both.

    Raises:
        DataError: the file cannot be read, or a setting is unknown or out of its range.
    """
    values = {} if path is None else read_toml(path)
    named = values.pop("preset", "small")
    if not isinstance(named, str):
        raise ParameterError(f"{path}: preset is not a name", f"Use one of: {', '.join(PRESETS)}")
    start = _preset_values(preset or named)
    return check_config(
        merged(merged(start, values), changes or {}), "" if path is None else f"{path}"
    )


def _preset_values(name: str) -> Mapping[str, Any]:
    if name not in PRESETS:
        raise ParameterError(f"There is no preset {name}", f"Use one of: {', '.join(PRESETS)}")
    return merged(GeneratorConfig().model_dump(exclude_none=True), PRESETS[name])
