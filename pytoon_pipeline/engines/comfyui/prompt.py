"""The run of one prompt on one server: handed in, waited for, cancelled when nobody wants it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from pytoon_pipeline.engines.base import Progress
from pytoon_pipeline.engines.comfyui.errors import (
    NoAnswerError,
    NoOutputError,
    OutOfGpuMemoryError,
    PromptLostError,
    PromptStalledError,
)
from pytoon_pipeline.engines.comfyui.json_values import as_list, as_mapping, as_text
from pytoon_pipeline.engines.comfyui.progress_socket import ProgressSocket
from pytoon_pipeline.engines.comfyui.transport import (
    ComfyTransport,
    PostedPrompt,
    PromptStatus,
    TransportLimits,
)
from pytoon_pipeline.engines.comfyui.workflows import Graph, Workflow
from pytoon_pipeline.errors import (
    EngineError,
    EngineFailedError,
    EngineTimeoutError,
    EngineUnavailableError,
)

log = logging.getLogger("pytoon.comfyui")

_VIDEOS = (".mp4", ".mov", ".mkv", ".webm")
_LOG_EVERY = 5.0
"""Seconds between two lines about progress."""
_MAX_LINES = 1000
"""About progress, of one prompt."""
_ABSENT = 2
"""Looks in a row that find a prompt nowhere before it counts as lost."""
_ABSENT_AFTER_END = 8
"""The same after the server said that it ended: the history is written a moment later."""
_TAIL_LINES = 12
_MAX_REASONS = 50
_LONGEST_REASON = 1500
_MODEL_ERROR = "value_not_in_list"
_OVER = ("done", "failed", "interrupted")
"""States of a prompt that has ended."""
_END_MESSAGES = ("execution_success", "execution_error", "execution_interrupted")


@dataclass
class _WaitState:
    """What is known of a prompt while it is waited for. Times are seconds of the run's clock."""

    begun: float
    heard: float
    """When the server last showed a sign of work."""
    next_look: float
    told: float
    """When progress was last logged."""
    audible: bool
    """Whether messages about the prompt are sure to reach this process."""
    running: float | None = None
    """Since when it runs; None while it waits in the queue."""
    away: float | None = None
    """Since when the server does not answer; None while it does."""
    absent: int = 0
    """Looks in a row that found the prompt nowhere."""
    ended: bool = False
    """Whether the server has said that it ended."""
    reopened: bool = False
    """Whether the socket was opened again after a long silence."""
    lines: int = 0
    """Lines logged about progress."""


@dataclass
class PromptRun:
    """One prompt. `result` waits for it; what it raises says whose fault it is."""

    transport: ComfyTransport
    workflow: Workflow
    graph: Graph
    id: str
    limits: TransportLimits
    progress: Progress
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    old: bool = field(default=False, init=False)
    """It was over before: an earlier process of ours handed it in, and was not there for its end.
    """

    def result(self) -> dict[str, Any]:
        """The file of the node that saves, as the server names it.

        Raises NoAnswerError, Stalled, EngineTimeoutError (the queue), Lost, OutOfGpuMemoryError,
        NoOutputError, EngineUnavailableError (a model is missing) or EngineFailedError. Whatever it
        raises, the prompt is not left running, as far as that can be had within a few seconds."""
        # Messages go to whoever handed the prompt in, by this name: a process that takes up the
        # prompt of one that was killed has to know it.
        ears = ProgressSocket(self.transport, self.id, self.clock, self.sleep)
        over = True
        try:
            look = self.transport.look(self.id)
            self.old = look.state in _OVER
            if not self.old:
                over = False
                ears.open()
                mine = look.state == "absent"
                if mine:
                    self._post_prompt()
                else:
                    log.info("%s: %s is taken up again", self.transport.name, self.id)
                look = self._wait_for_end(ears, mine)
                over = True
            return self._read_outcome(look)
        except BaseException:
            if not over:
                self._cancel_prompt()
            raise
        finally:
            ears.close()

    # Handing in ----------------------------------------------------------------------------------

    def _post_prompt(self) -> None:
        for last in (False, True):
            try:
                posted = self.transport.post(self.graph, self.id, self.id)
            except NoAnswerError as error:
                if not error.arrived or last:
                    raise
                # It may have been taken all the same, and would run twice.
                for _ in range(2):
                    self.sleep(min(1.0, self.limits.poll))
                    self.progress(0)
                    if self.transport.look(self.id).state != "absent":
                        return
                continue
            self._note_accepted(posted)
            return

    def _note_accepted(self, posted: PostedPrompt) -> None:
        if posted.status == 200 and posted.body.get("prompt_id"):
            # The hosted service may choose a name of its own.
            self.id = as_text(posted.body["prompt_id"]) or self.id
            if not posted.body.get("node_errors"):
                return
        name = f"{self.transport.name} does not take the workflow {self.workflow.name}"
        # First the error: some have no node's errors beside them.
        reasons, missing = _explain_refusal(posted.body, self.graph)
        if missing:
            raise EngineUnavailableError(
                f"{name}: " + "; ".join(self._describe_missing_models(missing)) + "."
            )
        raise EngineFailedError(
            f"{name} ({posted.status}): {'; '.join(reasons) or 'it does not say why'}.",
            "" if reasons else posted.text,
            transient=posted.status >= 500,
        )

    def _describe_missing_models(self, missing: list[tuple[str, str]]) -> list[str]:
        said = []
        for node, name in missing:
            model = self.workflow.binding.models.get(f"{node}.{name}")
            value = self.graph[node]["inputs"].get(name)
            said.append(
                f"models/{model.folder}/{model.file} is not installed (node {node})"
                if model
                else f"{node} does not offer {value!r} as {name!r}"
            )
        return said

    # Waiting -------------------------------------------------------------------------------------

    def _wait_for_end(self, ears: ProgressSocket, audible: bool) -> PromptStatus:
        """Wait until the server's records say that the prompt is over, and return what they say.

        The socket only tells when to look. It is not `audible` for sure where an earlier process
        may still seem to listen."""
        begun = self.clock()
        wait = _WaitState(begun, begun, begun, self.clock(), audible)
        while True:
            self.progress(0)
            for message in ears.listen(min(1.0, max(0.0, wait.next_look - self.clock()))):
                self._note_message(wait, message)
            now = self.clock()
            if now >= wait.next_look:
                look = self._look_at_records(wait, now)
                if look is None:
                    continue
                if look.state in _OVER:
                    return look
            self._check_limits(wait, ears, now)

    def _note_message(self, wait: _WaitState, message: dict[str, Any]) -> None:
        """Note in `wait` what a message of the socket says of this prompt."""
        kind, data = as_text(message.get("type")), message["data"]
        if data.get("prompt_id") != self.id:
            return  # others' prompts, the queue's length
        wait.heard, wait.audible, wait.reopened = self.clock(), True, False
        wait.running = wait.running or wait.heard
        if kind in _END_MESSAGES or (kind == "executing" and data.get("node") is None):
            # Said again, it does not make anybody look more often.
            if not wait.ended:
                wait.ended, wait.next_look = True, wait.heard
        elif (
            kind == "progress"
            and wait.lines < _MAX_LINES
            and (self.clock() - wait.told >= _LOG_EVERY or data.get("value") == data.get("max"))
        ):
            wait.told, wait.lines = self.clock(), wait.lines + 1
            said = [as_text(data.get(what), 40) for what in ("node", "value", "max")]
            log.info("%s: %s, step %s of %s", self.transport.name, *said)

    def _look_at_records(self, wait: _WaitState, now: float) -> PromptStatus | None:
        """Return what the server's records say; None where it does not answer for the moment.

        Raises NoAnswerError when it is away for too long, PromptLostError when it knows the prompt
        no more."""
        limits = self.limits
        try:
            look = self.transport.look(self.id)
        except NoAnswerError as error:
            wait.away = now if wait.away is None else wait.away
            if now - wait.away >= limits.restart_seconds:
                raise NoAnswerError(
                    f"{self.transport.name} went away while it worked and did not come "
                    f"back within {limits.restart_seconds:g} s: {error}"
                ) from error
            wait.next_look = self.clock() + limits.poll
            return None
        if look.state in _OVER:
            return look
        if wait.away is not None:
            wait.away, wait.heard = None, now
        if look.state == "absent":
            wait.absent += 1
            if wait.absent >= (_ABSENT_AFTER_END if wait.ended else _ABSENT):
                raise PromptLostError(
                    f"{self.transport.name} knows nothing any more of the prompt that it "
                    "took: it was restarted, or somebody deleted the prompt."
                )
        else:
            wait.absent = 0
        if look.state == "running":
            wait.running = wait.running or now
        wait.next_look = self.clock() + (min(limits.poll, 0.25) if wait.ended else limits.poll)
        return look

    def _check_limits(self, wait: _WaitState, ears: ProgressSocket, now: float) -> None:
        """Raise EngineTimeoutError for a prompt that waits too long in the queue, and
        PromptStalledError for one that runs too long or shows no sign of work."""
        limits = self.limits
        if wait.running is None:
            if now - wait.begun > limits.queue_seconds and wait.away is None:
                raise EngineTimeoutError(
                    f"{self.transport.name}: {self.workflow.name} waited "
                    f"{limits.queue_seconds:g} s in the queue behind others. Give it fewer "
                    "users, or add a server."
                )
            return
        if now - wait.running > limits.run_seconds:
            raise PromptStalledError(
                f"{self.transport.name}: {self.workflow.name} ran longer than "
                f"{limits.run_seconds:g} s. Take a smaller workflow or a faster GPU."
            )
        if ears.opened is None or wait.away is not None or not wait.audible:
            return  # nothing to hear it from: only the limit of the run holds
        if ears.opened > wait.heard and not wait.reopened:
            wait.heard = ears.opened
        silent = now - max(wait.heard, wait.running)
        if silent > limits.stall_seconds:
            raise PromptStalledError(
                f"{self.transport.name}: {self.workflow.name} showed no sign of work for "
                f"{limits.stall_seconds:g} s. Look into the server's log; restart it."
            )
        if silent > limits.stall_seconds / 2 and not wait.reopened:
            wait.reopened = True  # a socket can go deaf
            ears.open()

    def _read_outcome(self, look: PromptStatus) -> dict[str, Any]:
        where = f"{self.transport.name}: {self.workflow.name}"
        if look.state == "interrupted":
            raise EngineFailedError(f"{where} was interrupted on the server.", transient=True)
        if look.state == "failed":
            raise _node_failed(where, look.error)
        item = self._find_saved_video(look.outputs)
        if item is None:
            raise NoOutputError(
                f"{where} succeeded, but {self.workflow.binding.save} left no video.",
                transient=True,
            )
        return item

    def _find_saved_video(self, outputs: dict[str, Any]) -> dict[str, Any] | None:
        """The video of the node that saves, under whatever key it stands: `images` usually."""
        for saved in as_mapping(outputs.get(self.workflow.binding.save)).values():
            for item in as_list(saved):
                if isinstance(item, dict) and item.get("type", "output") == "output":
                    name = as_text(item.get("filename"))
                    if PurePosixPath(name).suffix.lower() in _VIDEOS:
                        return item
        return None

    # Cancelling ----------------------------------------------------------------------------------

    def _cancel_prompt(self) -> None:
        """Nobody waits for it any more. A server that can't be reached keeps what it has."""
        try:
            self.transport.cancel(self.id)
            until = self.clock() + self.limits.cancel_seconds
            while self.transport.look(self.id).state in ("waiting", "running"):
                if self.clock() >= until:
                    log.warning("%s: %s still runs", self.transport.name, self.id)
                    return
                self.sleep(min(0.2, self.limits.poll))
            log.info("%s: %s is cancelled", self.transport.name, self.id)
        except EngineError as error:
            log.warning("%s: %s could not be cancelled: %s", self.transport.name, self.id, error)


def _explain_refusal(body: dict[str, Any], graph: Graph) -> tuple[list[str], list[tuple[str, str]]]:
    """Why a prompt is refused, in sentences; and which nodes' inputs name what is not there."""
    reasons: list[str] = []
    missing: list[tuple[str, str]] = []
    error = body.get("error")
    if isinstance(error, dict):
        reasons.append(_error_sentence(error))
    elif error:
        reasons.append(as_text(error))
    for id_, node in as_mapping(body.get("node_errors")).items():
        node = as_mapping(node)
        for one in map(as_mapping, as_list(node.get("errors"))):
            reasons.append(
                f"{id_} ({as_text(node.get('class_type'), 100)}): {_error_sentence(one)}"
            )
            name = as_text(as_mapping(one.get("extra_info")).get("input_name"), 100)
            if one.get("type") == _MODEL_ERROR and id_ in graph and name:
                missing.append((id_, name))
    return [r[:_LONGEST_REASON] for r in reasons if r][:_MAX_REASONS], missing[:_MAX_REASONS]


def _error_sentence(error: dict[str, Any]) -> str:
    said = [as_text(error.get(what)).strip() for what in ("message", "details")]
    return ": ".join(part for part in said if part)


def _node_failed(where: str, error: dict[str, Any]) -> EngineFailedError:
    kind = as_text(error.get("exception_type"), 200)
    said = as_text(error.get("exception_message"), 10_000).strip()
    # Never the inputs: tensors, as strings of any length.
    node = f"{as_text(error.get('node_id'), 100)} ({as_text(error.get('node_type'), 100)})"
    trace = "".join(as_text(line, 4000) for line in as_list(error.get("traceback"))[-500:])
    tail = "\n".join(trace.splitlines()[-_TAIL_LINES:])
    reason = f"{where} failed in node {node}: {kind}: {said[:500]}" if error else f"{where} failed."
    memory = kind.endswith("OutOfMemoryError") or "out of memory" in said.lower()
    return OutOfGpuMemoryError(reason, tail) if memory else EngineFailedError(reason, tail)
