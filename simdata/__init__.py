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

__all__ = [
    "Dataset",
    "bank_folder",
    "describe",
    "generate",
    "import_amlsim",
    "read_dataset",
    "read_labels",
    "write_dataset",
]
