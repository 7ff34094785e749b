"""The source of a bank's transactions, as ``node.toml`` names it."""

from pydantic import ValidationError

from bank_node.intake.config import DataConfig
from bank_node.node.config import CONFIG_NAME, NodeConfig
from bank_node.node.errors import ConfigurationError

__all__ = ["data_of"]


def data_of(config: NodeConfig) -> DataConfig | None:
    """Return the source with its paths taken from the node's folder; None: there is none.

    Raises:
        ConfigurationError: a setting under ``[data]`` is wrong; names it.
    """
    if config.data is None:
        return None
    try:
        return DataConfig.model_validate(config.data).beside(config.folder)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in ("data", *first["loc"]))
        raise ConfigurationError(
            f"{config.folder / CONFIG_NAME}: {where}: {first['msg']}", "Correct the setting"
        ) from None
