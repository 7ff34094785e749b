"""The generator of simulated payments: its configuration, its presets and its typologies."""

from simdata.generator.build import build_dataset
from simdata.generator.config import GeneratorConfig, config_toml
from simdata.generator.presets import PRESETS, find_preset, read_config
from simdata.generator.typologies import TYPOLOGIES

__all__ = [
    "PRESETS",
    "TYPOLOGIES",
    "GeneratorConfig",
    "build_dataset",
    "config_toml",
    "find_preset",
    "read_config",
]
