"""Data sets split over banks: simulate them, import and export them, look at them."""

from simdata.amlsim import import_amlsim
from simdata.amlworld import import_amlworld
from simdata.csv_import import import_csv
from simdata.dataset import (
    Dataset,
    bank_folder,
    read_dataset,
    read_labels,
    write_dataset,
)
from simdata.describe import describe
from simdata.exporting import export_amlworld, export_csv
from simdata.generate import generate
from simdata.generator import GeneratorConfig, build_dataset, find_preset, read_config
from simdata.rejects import count_rejected
from simdata.saml_d import import_saml_d
from simdata.tno import import_tno

__all__ = [
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
