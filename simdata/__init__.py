"""Data sets split over banks: simulate them, import them, look at them."""

from simdata.amlsim import import_amlsim
from simdata.dataset import (
    Dataset,
    bank_folder,
    read_dataset,
    read_labels,
    write_dataset,
)
from simdata.describe import describe
from simdata.generate import generate
from simdata.tno import import_tno

__all__ = [
    "Dataset",
    "bank_folder",
    "describe",
    "generate",
    "import_amlsim",
    "import_tno",
    "read_dataset",
    "read_labels",
    "write_dataset",
]
