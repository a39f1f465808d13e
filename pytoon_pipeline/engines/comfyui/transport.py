"""How a ComfyUI server is reached: one small interface, and the forms it takes.

`http(s)://host` is a server of one's own, on this machine or behind a proxy that wants a token;
`hosted+https://host` is the hosted service, whose routes, key and downloads differ a little.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytoon_pipeline.engines.comfyui.workflows import Graph

if TYPE_CHECKING:
    from pytoon_pipeline.engines.comfyui.socket import BoundedSocket


@dataclass(frozen=True)
class TransportLimits:
    """Seconds, all of them."""

    connect: float = 5
    answer: float = 10
    """Until a server that was reached answers a question, or sends more of its answer."""
    document_seconds: float = 60
    """For a question and all of its answer."""
    transfer_seconds: float = 900
    """For the upload of a picture, or the download of a clip."""
    queue_seconds: float = 900
    """Waiting behind other prompts of the server."""
    run_seconds: float = 1800
    """From the begin of the run to its end."""
    stall_seconds: float = 600
    """Without any sign of work. Loading a model and decoding a video are silent for minutes: less
    than 300 breaks healthy runs."""
    restart_seconds: float = 120
    """For a server that went away in the middle of a run to come back."""
    poll: float = 3
    """Between two looks at the history."""
    rest_seconds: float = 60
    """That a server which can't be reached is left alone, by all processes."""
    stall_rest_seconds: float = 300
    """The same for one that did not get done."""
    cancel_seconds: float = 5
    """For a cancelled prompt to be gone."""
    health_seconds: float = 2


@dataclass(frozen=True)
class PromptStatus:
    """Where a prompt is."""

    state: str
    """`absent`, `waiting`, `running`, `done`, `failed` or `interrupted`."""
    outputs: dict[str, Any] = field(default_factory=dict)
    error: dict[str, Any] = field(default_factory=dict)
    """Of a failed one: the server's `execution_error`."""


@dataclass(frozen=True)
class PostedPrompt:
    """The server's answer to a prompt."""

    status: int
    body: dict[str, Any]
    text: str


class ComfyTransport(ABC):
    """One server. Everything here raises NoAnswerError where it can't be reached or answers
    nonsense, PromptRefusedError where it wants another token."""

    name: str
    """Its address without secrets, for messages."""

    @abstractmethod
    def stats(self, seconds: float | None = None) -> dict[str, Any]:
        """Version and devices. `seconds` bounds the wait."""

    @abstractmethod
    def node_definitions(self, classes: Sequence[str]) -> dict[str, Any]:
        """What the server says of these nodes; those it lacks are left out."""

    @abstractmethod
    def waiting(self) -> int:
        """Prompts in its queue, the running one included."""

    @abstractmethod
    def upload(self, name: str, folder: str, data: bytes) -> str:
        """Put a picture there; what a graph calls it."""

    @abstractmethod
    def post(self, graph: Graph, client_id: str, prompt_id: str) -> PostedPrompt:
        """Hand in a prompt."""

    @abstractmethod
    def look(self, prompt_id: str) -> PromptStatus:
        """Where a prompt is: what the server's records say, the only truth."""

    @abstractmethod
    def cancel(self, prompt_id: str) -> None:
        """Take a prompt out of the queue, or end its run. Hit or miss, no server says."""

    @abstractmethod
    def download(self, item: dict[str, Any], path: Path, tick: Callable[[], None]) -> None:
        """A file of the outputs, whole, to `path`. NoFileError where the server has lost it."""

    @abstractmethod
    def open_socket(self, client_id: str) -> BoundedSocket:
        """A websocket on which it tells of progress. SocketLostError where it opens none."""
