"""The settings of a data source are checked before anything is read."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bank_node.errors import CurrencyError
from bank_node.intake import DataConfig
from tests.bank_node.intake.bank import Bank, payment


def config(**settings: Any) -> DataConfig:
    """A CSV source."""
    return DataConfig.model_validate({"source": "csv", "folder": "/in"} | settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"folder": None}, "needs folder"),
        ({"source": "oracle"}, "csv"),
        ({"every": "soon"}, "such as 15m"),
        ({"every": "0s"}, "a second at least"),
        ({"columns": {"sum": "x"}}, "no column sum"),
        ({"watermark": "x"}, "postgresql only"),
        ({"base_currency": "euro"}, "pattern"),
        ({"rates": {"USD": 1}, "rates_file": "r.csv"}, "not both"),
        ({"source": "postgresql"}, "one of the two"),
        ({"source": "postgresql", "dsn_env": "A", "dsn_file": "b"}, "one of the two"),
        ({"memory_mb": 10}, "256"),
        ({"colour": "red"}, "Extra"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], words: str) -> None:
    """Each wrong setting is named."""
    with pytest.raises(ValidationError, match=words):
        config(**settings)


def test_defaults_and_relative_paths() -> None:
    """Patterns follow the format, paths are taken from the node's folder, durations are seconds."""
    found = config(folder="in", rates_file="/etc/rates.csv").beside(Path("/node"))
    assert (found.folder, found.rates_file) == (Path("/node/in"), Path("/etc/rates.csv"))
    assert found.pattern("accounts") == "accounts*.csv"
    assert found.every_seconds == 900
    table = DataConfig(source="postgresql", dsn_env="X")
    assert (table.pattern("transactions"), table.overlap_seconds) == ("transactions", 3600)


def test_rates_come_from_a_file(bank: Bank) -> None:
    """Rates in CSV or TOML are read each time, and a new rate lets rejected payments in."""
    bank.payments(payment(1, currency="USD"))
    rates = bank.list.parent / "rates.csv"
    rates.write_text("currency,rate\nGBP, 1.2\n")
    assert bank.take(rates_file=rates).rejected == {"unknown currency": 1}
    rates.write_text("currency,rate\r\nGBP,1.2\r\nusd,0.9\r\n")
    assert bank.take(rates_file=rates).accepted == 1
    toml = bank.list.parent / "rates.toml"
    toml.write_text("USD = 0.9\n")
    assert bank.config(rates_file=toml).all_rates() == {"USD": 0.9}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "USD,0.9\n",
        "currency,rate\nUSD\n",
        "currency,rate\nUSD,x\n",
        "currency,rate\nUS,1\n",
        "currency,rate\nUSD,1\nusd,2\n",
        "currency,rate\nUSD,nan\n",
        "currency,rate\nUSD,-1\n",
    ],
)
def test_wrong_rates_are_refused(bank: Bank, text: str) -> None:
    """A file that is no table of rates is one clear error, and nothing is taken in."""
    bank.payments(payment(1))
    rates = bank.list.parent / "rates.csv"
    rates.write_text(text)
    with pytest.raises(CurrencyError):
        bank.take(rates_file=rates)
    with pytest.raises(CurrencyError, match="cannot be read"):
        bank.take(rates_file=rates.with_suffix(".none"))
    assert bank.days.listed() == []
