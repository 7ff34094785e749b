"""Errors of the secure engine.

::

    EngineError
    ├── TooFewParties       fewer than three parties: no honest majority, no privacy
    ├── Overflow            the values of the run do not fit the ring
    ├── ShapeMismatch       a public size differs from what the parties agreed on
    ├── ParameterError      a public parameter is out of its range
    ├── NotConserved        what a flow carries is not what went in (a fault, or a false party)
    ├── MaskRuleViolation   a message would leave without a fresh mask (a fault of the program)
    └── LabelReused         a stream label or a message label would be used twice (the same)

Each error has a stable ``code``, a message that names the cause and a remedy.  No error holds a
secret value.
"""

__all__ = [
    "EngineError",
    "LabelReused",
    "MaskRuleViolation",
    "NotConserved",
    "Overflow",
    "ParameterError",
    "ShapeMismatch",
    "TooFewParties",
]


class EngineError(Exception):
    """Base of all errors of the engine; ``str(error)`` is one line: cause, then remedy."""

    code = "engine.error"
    exit_code = 2

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message}; {remedy}")
        self.message = message
        self.remedy = remedy


class TooFewParties(EngineError):
    """A run needs three parties: with two there is no honest majority and so no privacy."""

    code = "engine.too-few-parties"


class Overflow(EngineError):
    """The values of the run could leave the range in which truncation is right."""

    code = "engine.overflow"


class ShapeMismatch(EngineError):
    """A public size is not what the parties agreed on."""

    code = "engine.shape-mismatch"


class ParameterError(EngineError):
    """A public parameter is out of its range."""

    code = "engine.parameter"


class NotConserved(EngineError):
    """What a flow carries at its end is not what went in."""

    code = "engine.not-conserved"
    exit_code = 1


class MaskRuleViolation(EngineError):
    """A message would leave without a mask that its receiver cannot know."""

    code = "engine.mask-rule"


class LabelReused(EngineError):
    """A stream or message label would be used a second time."""

    code = "engine.label-reused"
