"""Failures of a server that the engine acts upon; others see only their base classes."""

from __future__ import annotations

from pytoon_pipeline.errors import EngineFailedError, EngineTimeoutError, EngineUnavailableError


class NoAnswerError(EngineUnavailableError):
    """A server can't be reached, broke off, or answers nonsense."""

    def __init__(self, message: str, *, arrived: bool = False, again: bool = False):
        self.arrived = arrived
        """What was asked may have reached the server."""
        self.again = again
        """It may well answer if it is asked once more, at once."""
        super().__init__(message)


class PromptRefusedError(EngineUnavailableError):
    """A server wants a token, or another one."""


class PromptStalledError(EngineTimeoutError):
    """A server does not get done with what it runs."""


class NoFileError(EngineFailedError):
    """A server names a file that it no longer has."""


class NoOutputError(EngineFailedError):
    """A prompt succeeded without a file from the node that saves."""


class OutOfGpuMemoryError(EngineFailedError):
    """The GPU's memory did not suffice."""


class PromptLostError(EngineFailedError):
    """A server knows nothing any more of a prompt that it took."""
