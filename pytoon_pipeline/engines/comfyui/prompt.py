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
            self.old = look.state in ("done", "failed", "interrupted")
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
        """Until the server's records say that it is over: the socket only tells when to look. It
        is not `audible` for sure where an earlier process may still seem to listen."""
        limits, clock = self.limits, self.clock
        begun = heard = next_look = clock()
        running: float | None = None
        away: float | None = None  # since when the server does not answer
        absent, ended, reopened = 0, False, False
        told, lines = clock(), 0
        while True:
            self.progress(0)
            for message in ears.listen(min(1.0, max(0.0, next_look - clock()))):
                kind, data = as_text(message.get("type")), message["data"]
                if data.get("prompt_id") != self.id:
                    continue  # others' prompts, the queue's length
                heard, audible, reopened = clock(), True, False
                running = running or heard
                if kind in ("execution_success", "execution_error", "execution_interrupted") or (
                    kind == "executing" and data.get("node") is None
                ):
                    # Said again, it does not make anybody look more often.
                    ended, next_look = True, next_look if ended else heard
                elif (
                    kind == "progress"
                    and lines < _MAX_LINES
                    and (clock() - told >= _LOG_EVERY or data.get("value") == data.get("max"))
                ):
                    told, lines = clock(), lines + 1
                    said = [as_text(data.get(what), 40) for what in ("node", "value", "max")]
                    log.info("%s: %s, step %s of %s", self.transport.name, *said)
            now = clock()
            if now >= next_look:
                try:
                    look = self.transport.look(self.id)
                except NoAnswerError as error:
                    away = now if away is None else away
                    if now - away >= limits.restart_seconds:
                        raise NoAnswerError(
                            f"{self.transport.name} went away while it worked and did not come "
                            f"back within {limits.restart_seconds:g} s: {error}"
                        ) from error
                    next_look = clock() + limits.poll
                    continue
                if look.state in ("done", "failed", "interrupted"):
                    return look
                if away is not None:
                    away, heard = None, now
                if look.state == "absent":
                    absent += 1
                    if absent >= (_ABSENT_AFTER_END if ended else _ABSENT):
                        raise PromptLostError(
                            f"{self.transport.name} knows nothing any more of the prompt that it "
                            "took: it was restarted, or somebody deleted the prompt."
                        )
                else:
                    absent = 0
                if look.state == "running":
                    running = running or now
                next_look = clock() + (min(limits.poll, 0.25) if ended else limits.poll)
            if running is None:
                if now - begun > limits.queue_seconds and away is None:
                    raise EngineTimeoutError(
                        f"{self.transport.name}: {self.workflow.name} waited "
                        f"{limits.queue_seconds:g} s in the queue behind others. Give it fewer "
                        "users, or add a server."
                    )
                continue
            if now - running > limits.run_seconds:
                raise PromptStalledError(
                    f"{self.transport.name}: {self.workflow.name} ran longer than "
                    f"{limits.run_seconds:g} s. Take a smaller workflow or a faster GPU."
                )
            if ears.opened is None or away is not None or not audible:
                continue  # nothing to hear it from: only the limit of the run holds
            if ears.opened > heard and not reopened:
                heard = ears.opened
            silent = now - max(heard, running)
            if silent > limits.stall_seconds:
                raise PromptStalledError(
                    f"{self.transport.name}: {self.workflow.name} showed no sign of work for "
                    f"{limits.stall_seconds:g} s. Look into the server's log; restart it."
                )
            if silent > limits.stall_seconds / 2 and not reopened:
                reopened = True  # a socket can go deaf
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
