"""What banks find together that they cannot find alone, measured on labelled data.

Four worlds are compared on the same alert budget: the banks' own signals, the banks alone with the
analyses of the graph, the secure joint run, and all data pooled.  From the ground up:

- ``payments`` reads a data set with its labels, ``local_signals`` is what each bank knows of its
  accounts, ``marking`` what each bank puts into the joint analyses;
- ``analyses`` runs the analyses in plain, alone and pooled; ``secure`` with the real workers;
- ``combining`` makes one score of signals and analyses, with weights fitted on other data sets;
- ``measures`` judges rankings, ``worlds`` puts the worlds side by side, ``agreement`` compares the
  secure with the pooled one, ``summary`` brings several data sets together;
- ``replay`` asks the same day by day, in plain or by the workers (``secure_days``); ``report`` and
  ``drawing`` write it down.
"""

from simdata.comparison.combining import Model, load_model, shipped_model
from simdata.comparison.payments import Labelled, read_labelled
from simdata.comparison.replay import Replay, replay_days
from simdata.comparison.report import write_replay, write_report
from simdata.comparison.secure import SecureRuns, run_secure
from simdata.comparison.secure_days import SecureDays, SecureRecord
from simdata.comparison.summary import Judged, Summary, judge, summarise
from simdata.comparison.worlds import Comparison, compare_worlds, fit_on, marks_of

__all__ = [
    "Comparison",
    "Judged",
    "Labelled",
    "Model",
    "Replay",
    "SecureDays",
    "SecureRecord",
    "SecureRuns",
    "Summary",
    "compare_worlds",
    "fit_on",
    "judge",
    "load_model",
    "marks_of",
    "read_labelled",
    "replay_days",
    "run_secure",
    "shipped_model",
    "summarise",
    "write_replay",
    "write_report",
]
