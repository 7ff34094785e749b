"""The simdata commands do what their help says, and count what is there."""

import io
import json
import tomllib
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

import simdata
from bank_node.errors import OutputExistsError, ParameterError, UnknownFormatError
from simdata.cli import _bank_table, app
from simdata.describe import describe
from simdata.generate import generate

HEADER = "tx_id,timestamp,from_bank,from_account,to_bank,to_account,amount,currency\n"


@pytest.mark.parametrize("command", ["generate", "settings", "import", "export", "describe"])
def test_every_command_has_help_with_examples(command: str) -> None:
    """--help shows what a command does, its options and examples."""
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "100"})
    assert result.exit_code == 0
    assert "Examples:" in result.output
    assert f"simdata {command}" in " ".join(result.output.split())
    assert "--json" in result.output


@pytest.mark.parametrize("command", ["generate", "settings", "import", "export", "describe"])
def test_examples_fit_a_terminal_of_80_columns(command: str) -> None:
    """No example is broken over two lines, so that it can be copied."""
    told = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "80"}).output
    lines = [line.strip() for line in told.splitlines()]
    examples = [line for line in lines if line.startswith(f"undercurrent simdata {command}")]
    assert examples
    assert all(len(line) <= 76 for line in examples)
    after = [lines[lines.index(line) + 1] for line in examples]
    assert not any(after[:-1])


def test_the_table_of_banks_fits_80_columns() -> None:
    """A long name and a trillion in amounts: nothing is cut off."""
    bank = {
        "bank": "Sparkasse Musterstadt", "accounts": 1_234_567, "payments": 12_345_678,
        "cross_bank_share": 1.0, "illicit_accounts": 12_345, "amount": "1234567890123.45",
    }  # fmt: skip
    shown = shown_at_80(bank)
    assert max(map(len, shown.splitlines())) <= 80
    for cell in ("1,234,567", "12,345,678", "100.0%", "12,345", "1,234,567,890,123.45"):
        assert cell in shown.split()
    assert "…" not in shown


def shown_at_80(bank: dict[str, object]) -> str:
    """The table of one bank in a terminal of 80 columns."""
    out = io.StringIO()
    Console(file=out, width=80).print(_bank_table({"banks": [bank], "base_currency": "EUR"}))
    return out.getvalue()


def test_a_format_that_can_only_be_read_is_told(tmp_path: Path) -> None:
    """Exporting to SAML-D is refused with the formats that can be written."""
    result = CliRunner().invoke(app, ["export", "saml-d", str(tmp_path), str(tmp_path / "o")])
    assert isinstance(result.exception, UnknownFormatError)
    assert "can be imported, not written. Use one of: amlworld, csv" in str(result.exception)


def test_generate_then_describe(tmp_path: Path) -> None:
    """What generate wrote, describe counts, in the same words as the library."""
    out = tmp_path / "data"
    made = CliRunner().invoke(app, ["generate", str(out), "--accounts", "300", "--json"])
    assert made.exit_code == 0
    assert json.loads(made.output)["banks"] == ["bank1", "bank2", "bank3"]
    told = CliRunner().invoke(app, ["describe", str(out), "--json"])
    assert json.loads(told.output) == describe(out)
    shown = CliRunner().invoke(app, ["describe", str(out)])
    assert shown.exit_code == 0
    assert "bank3" in shown.output
    assert "Illicit accounts" in shown.output


def test_errors_reach_the_caller(tmp_path: Path) -> None:
    """An unknown format lists the known ones; a folder in use is refused."""
    result = CliRunner().invoke(app, ["import", "xls", "a", str(tmp_path / "b")])
    assert isinstance(result.exception, UnknownFormatError)
    assert "amlsim" in str(result.exception)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    result = CliRunner().invoke(app, ["generate", str(tmp_path / "full")])
    assert isinstance(result.exception, OutputExistsError)


def test_import_by_command(tmp_path: Path) -> None:
    """The import command writes a data set with the number of banks asked for."""
    source = tmp_path / "src"
    source.mkdir()
    (source / "nodes.csv").write_text("nodeid,isFraud\n1,0\n2,1\n")
    (source / "transactions.csv").write_text("sourceNodeId,targetNodeId,value,time\n1,2,3.5,1\n")
    args = ["import", "AMLSIM", str(source), str(tmp_path / "out"), "--banks", "2", "--csv"]
    assert CliRunner().invoke(app, args).exit_code == 0
    found = describe(tmp_path / "out")
    assert found["illicit_accounts"] == 1
    assert found["typologies"] == {"unknown": 1}
    assert found["first_timestamp"] == "2020-01-02T00:00:00Z"


def test_options_win_over_the_file_and_the_file_over_the_preset(tmp_path: Path) -> None:
    """What is printed as settings is what generate used, but for the options given."""
    path = tmp_path / "c.toml"
    path.write_text("[size]\naccounts = 200\nbanks = 4\n")
    out = tmp_path / "data"
    args = ["generate", str(out), "--config", str(path), "--preset", "small", "--banks", "2"]
    assert CliRunner().invoke(app, [*args, "--cross-bank", "0.5"]).exit_code == 0
    shown = CliRunner().invoke(app, ["settings", "--config", str(path)])
    asked = tomllib.loads(shown.output)
    used = tomllib.loads((out / "generator.toml").read_text())
    assert (asked["size"]["banks"], asked["laundering"]["cross_bank"]) == (4, 0.9)
    asked["size"]["banks"], asked["laundering"]["cross_bank"] = 2, 0.5
    assert used == asked
    as_json = CliRunner().invoke(app, ["settings", "--preset", "low-illicit", "--json"])
    assert json.loads(as_json.output)["laundering"]["illicit"] == 0.002


def test_export_and_import_by_command(tmp_path: Path) -> None:
    """Export lists its files; import counts what it left out, in words and in JSON."""
    data, out = str(tmp_path / "data"), tmp_path / "out"
    CliRunner().invoke(app, ["generate", data, "--accounts", "60"])
    made = CliRunner().invoke(app, ["export", "csv", data, str(out)])
    assert made.output == f"{out}: accounts.csv, transactions.csv\n"
    with (out / "transactions.csv").open("a") as file:
        file.write("torn,row\n")
    told = CliRunner().invoke(app, ["import", "csv", str(out), str(tmp_path / "one")])
    assert "1 rows left out: wrong number of fields (see rejected.csv)" in told.output
    args = ["import", "csv", str(out), str(tmp_path / "two"), "--json"]
    found = json.loads(CliRunner().invoke(app, args).output)
    assert found["rejected"] == {"wrong number of fields": 1}
    listed = CliRunner().invoke(app, ["export", "amlworld", data, str(tmp_path / "aml"), "--json"])
    assert "simulated-1_Trans.csv" in json.loads(listed.output)["files"]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (["import", "tno", "a", "b", "--seed", "3"], ParameterError, "tno has no --seed"),
        (["import", "amlworld", "a", "b", "--map", "m"], ParameterError, "no --map"),
        (["export", "saml-d", "a", "b"], UnknownFormatError, "amlworld, csv"),
        (["generate", "x", "--preset", "huge"], ParameterError, "small, medium"),
        (["generate", "x", "--seed", "-1"], ParameterError, "negative"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    arguments: list[str], error: type[Exception], words: str
) -> None:
    """The line says what does not fit, and what does."""
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, error)
    assert words in str(result.exception)


def test_describe_counts_by_hand(tmp_path: Path) -> None:
    """Accounts, payments, shares, sums, times and rejects of a data set small enough to count."""
    place = tmp_path / "banks" / "a"
    place.mkdir(parents=True)
    (place / "accounts.csv").write_text("account\n1\n2\n")
    (place / "transactions.csv").write_text(
        HEADER + "1,2026-01-01,a,1,b,9,1.25,EUR\n2,2026-01-03,a,1,a,3,2,EUR\n3,x,a,1,a,2,2,EUR\n"
    )
    assert describe(tmp_path) == {
        "name": tmp_path.name,
        "seed": None,
        "base_currency": None,
        "first_timestamp": "2026-01-01T00:00:00Z",
        "last_timestamp": "2026-01-03T00:00:00Z",
        "banks": [
            {
                "bank": "a",
                "accounts": 2,
                "accounts_only_in_payments": 1,
                "payments": 2,
                "cross_bank_payments": 1,
                "cross_bank_share": 0.5,
                "amount": "3.25",
                "first_timestamp": "2026-01-01T00:00:00Z",
                "last_timestamp": "2026-01-03T00:00:00Z",
                "illicit_accounts": None,
                "rounded": 0,
                "rejected": {"unparsable time": 1},
            }
        ],
        "illicit_accounts": None,
        "typologies": None,
    }


def test_sums_wider_than_64_bits_are_told(tmp_path: Path) -> None:
    """The sum of amounts may be larger than any one of them can be."""
    place = tmp_path / "banks" / "a"
    place.mkdir(parents=True)
    (place / "accounts.csv").write_text("account\n")
    rows = [f"{i},2026-01-01,a,1,a,{i},92233720368547758.07,EUR\n" for i in range(2)]
    (place / "transactions.csv").write_text(HEADER + "".join(rows))
    assert describe(tmp_path)["banks"][0]["amount"] == "184467440737095516.14"


def test_the_public_face_of_the_package() -> None:
    """The package offers these names and no other."""
    assert simdata.__all__ == [
        "Dataset",
        "GeneratorConfig",
        "bank_folder",
        "build_dataset",
        "count_rejected",
        "describe",
        "export_amlworld",
        "export_csv",
        "find_preset",
        "generate",
        "import_amlsim",
        "import_amlworld",
        "import_csv",
        "import_saml_d",
        "import_tno",
        "read_config",
        "read_dataset",
        "read_labels",
        "write_dataset",
    ]
    assert simdata.generate is generate
