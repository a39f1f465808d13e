"""Failures of a server that the engine acts upon; others see only their base classes."""

from __future__ import annotations

from pytoon_pipeline.errors import EngineFailed, EngineTimeout, EngineUnavailable


class NoAnswer(EngineUnavailable):
    """A server can't be reached, broke off, or answers nonsense."""

    def __init__(self, message: str, *, arrived: bool = False, again: bool = False):
        self.arrived = arrived
        """What was asked may have reached the server."""
        self.again = again
        """It may well answer if it is asked once more, at once."""
        super().__init__(message)


class Refused(EngineUnavailable):
    """A server wants a token, or another one."""


class Stalled(EngineTimeout):
    """A server does not get done with what it runs."""


class NoFile(EngineFailed):
    """A server names a file that it no longer has."""


class NoOutput(EngineFailed):
    """A prompt succeeded without a file from the node that saves."""


class OutOfMemory(EngineFailed):
    """The GPU's memory did not suffice."""


class Lost(EngineFailed):
    """A server knows nothing any more of a prompt that it took."""
