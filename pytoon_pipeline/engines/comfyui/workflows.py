"""Workflows: graphs of a ComfyUI server, as data under `presets/workflows`.

`<name>.json` is a graph in API format. `<name>.yaml`, its binding, says which inputs of which nodes
take the prompt, the picture, the size and so on, what the model can make, and which model files
the server needs. A workflow of one's own is two more files there.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pytoon_pipeline.engines.comfyui.sizes import (
    ClipShape,
    legal_frames,
    legal_size,
    next_smaller_shape,
)
from pytoon_pipeline.errors import PresetError, Problem

Graph = dict[str, Any]
"""Node id -> {class_type, inputs}; an input is a value, or [node id, output] for a link."""

Kind = Literal["i2v", "t2v"]
DEFAULTS: Mapping[str, str] = {"i2v": "wan22_5b_i2v", "t2v": "wan22_5b_t2v"}


class _WorkflowModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InputTarget(_WorkflowModel):
    """An input of a node. In short: `node.input`."""

    at: str = Field(pattern=r"^[^.]+\..+$")
    divide: int = Field(1, ge=1, description="A whole number is divided by this first.")

    @model_validator(mode="before")
    @classmethod
    def _expand_short_form(cls, value: Any) -> Any:
        return {"at": value} if isinstance(value, str) else value

    @property
    def place(self) -> tuple[str, str]:
        """The node's id and the input's name."""
        node, _, name = self.at.partition(".")
        return node, name


class WorkflowInputs(_WorkflowModel):
    """Where the values of a job go."""

    prompt: list[InputTarget] = Field(min_length=1)
    negative: list[InputTarget] = Field(default_factory=list)
    image: list[InputTarget] = Field(default_factory=list)
    width: list[InputTarget] = Field(min_length=1)
    height: list[InputTarget] = Field(min_length=1)
    frames: list[InputTarget] = Field(min_length=1)
    fps: list[InputTarget] = Field(min_length=1)
    seed: list[InputTarget] = Field(min_length=1)
    prefix: list[InputTarget] = Field(min_length=1)

    def all(self) -> Iterator[tuple[str, InputTarget]]:
        for name in type(self).model_fields:
            yield from ((name, target) for target in getattr(self, name))


class FrameCounts(_WorkflowModel):
    """Lengths a model can make: step * n + 1."""

    step: int = Field(ge=1)
    least: int = Field(ge=1)
    most: int = Field(ge=1, le=2000)


class WorkflowModelFile(_WorkflowModel):
    """A file that lies under the server's `models/<folder>`."""

    folder: str
    file: str


class WorkflowBinding(_WorkflowModel):
    """What a workflow can make, and how to ask for it."""

    title: str
    kind: Kind
    sizes: list[tuple[int, int]] = Field(
        min_length=1, description="Width and height; the one nearest to the video's shape is taken."
    )
    size_step: int = Field(ge=1)
    frames: FrameCounts
    fps: int = Field(ge=1, le=120)
    min_vram_gb: float = Field(0, ge=0, description="GPU memory below which it is not tried.")
    negative: str = Field("", description="Where the brief says none.")
    inputs: WorkflowInputs
    save: str = Field(description="The node whose file is the take.")
    models: dict[str, WorkflowModelFile] = Field(
        default_factory=dict, description="node.input -> the file that goes there."
    )

    @field_validator("sizes")
    @classmethod
    def _require_even(cls, sizes: list[tuple[int, int]]) -> list[tuple[int, int]]:
        for size in sizes:
            if any(side < 16 or side > 4096 or side % 2 for side in size):
                raise ValueError(f"{size[0]}x{size[1]}: sides are even, from 16 to 4096")
        return sizes

    @model_validator(mode="after")
    def _require_legal(self) -> WorkflowBinding:
        for size in self.sizes:
            if any(side % self.size_step for side in size):
                raise ValueError(f"{size[0]}x{size[1]} is not of multiples of {self.size_step}")
        step, least, most = self.frames.step, self.frames.least, self.frames.most
        if (least - 1) % step or (most - 1) % step or least > most:
            raise ValueError(f"frames.least and frames.most are not {step}n + 1, in this order")
        if (self.kind == "i2v") != bool(self.inputs.image):
            raise ValueError("an i2v workflow takes an image, a t2v one takes none")
        return self


@dataclass(frozen=True)
class Workflow:
    name: str
    binding: WorkflowBinding
    graph: Graph
    """With the binding's model files in place."""

    @cached_property
    def sha256(self) -> str:
        """Of all that decides what the server does: the graph, and where values go."""
        what = {
            "graph": self.graph,
            "inputs": self.binding.inputs.model_dump(),
            "save": self.binding.save,
        }
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

    def shape(self, width: int, height: int, count: int, rate: int) -> ClipShape:
        """The size and length to ask for, for `count` frames of `rate` a second at this size."""
        binding = self.binding
        w, h = legal_size(binding.sizes, width, height)
        f = binding.frames
        frames = legal_frames(count, rate, binding.fps, f.step, f.least, f.most)
        return ClipShape(w, h, frames, binding.fps)

    def smaller(self, shape: ClipShape) -> ClipShape | None:
        """What to ask for where the GPU's memory did not suffice."""
        f = self.binding.frames
        return next_smaller_shape(shape, self.binding.size_step, f.step, f.least)

    def fill_graph(self, graph: Graph, values: Mapping[str, Any]) -> Graph:
        """A copy of this workflow's graph with the values of a job (names of `WorkflowInputs`) in
        it."""
        filled = copy.deepcopy(graph)
        for name, target in self.binding.inputs.all():
            node, place = target.place
            value = values[name]
            filled[node]["inputs"][place] = value // target.divide if target.divide > 1 else value
        return filled


def load_workflow(folders: Path | Sequence[Path], name: str) -> Workflow:
    """A workflow by name, from the first folder that has it. Raises PresetError, naming file and
    field."""
    folders = [folders] if isinstance(folders, Path) else list(folders)
    folder = next((f for f in folders if (f / f"{name}.yaml").is_file()), folders[-1])
    path, graph_path = folder / f"{name}.yaml", folder / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted({n for f in folders for n in list_workflow_names(f)})) or "none"
        raise PresetError(
            Problem(
                "workflow.unknown",
                f"There is no workflow {name!r}.",
                f"There are: {known}. A workflow is <name>.json and <name>.yaml in this folder.",
                file=str(folder),
            )
        )
    try:
        binding = WorkflowBinding.model_validate(yaml.safe_load(path.read_text()))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _workflow_error(path, f"It can't be read: {error}.") from error
    except ValidationError as error:
        raise PresetError(
            [
                Problem(
                    "workflow.field",
                    f"{e['msg']}.",
                    file=str(path),
                    field=".".join(str(part) for part in e["loc"]) or None,
                )
                for e in error.errors()
            ]
        ) from error
    try:
        graph = json.loads(graph_path.read_text())
    except (OSError, ValueError) as error:
        raise _workflow_error(graph_path, f"It can't be read: {error}.") from error
    _check_graph(graph_path, graph)
    for at, model in binding.models.items():
        _put_value(path, graph, at, model.file)
    for name_, target in binding.inputs.all():
        _put_value(path, graph, target.at, None, f"inputs.{name_}")
    if binding.save not in graph:
        raise _workflow_error(path, f"The graph has no node {binding.save!r}.", "save")
    return Workflow(name, binding, graph)


def list_workflow_names(folder: Path) -> list[str]:
    return sorted(p.stem for p in folder.glob("*.yaml"))


def _put_value(path: Path, graph: Graph, at: str, value: Any, field: str = "models") -> None:
    node, _, name = at.partition(".")
    if name not in graph.get(node, {}).get("inputs", {}):
        raise _workflow_error(path, f"The graph has no input {at!r}.", field)
    if value is not None:
        graph[node]["inputs"][name] = value


def _check_graph(path: Path, graph: Any) -> None:
    if not isinstance(graph, dict) or not graph or "nodes" in graph:
        raise _workflow_error(
            path, "It is not a graph in API format. Export it with 'Export (API)'."
        )
    for id_, node in graph.items():
        if not isinstance(node, dict) or not isinstance(node.get("class_type"), str):
            raise _workflow_error(path, "A node has no class_type.", id_)
        if not isinstance(node.get("inputs"), dict):
            raise _workflow_error(path, "A node has no inputs.", id_)
        for name, value in node["inputs"].items():
            if isinstance(value, list) and (len(value) != 2 or value[0] not in graph):
                raise _workflow_error(path, "It leads to no node.", f"{id_}.{name}")


def _workflow_error(path: Path, message: str, field: str | None = None) -> PresetError:
    return PresetError(
        Problem("workflow.field", message, "See docs/comfyui.md.", file=str(path), field=field)
    )
