"""A workflow held against what a server says of its nodes (`/object_info`), before anything is sent
there. Pure."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from pytoon_pipeline.engines.comfyui.json_values import as_list, as_mapping
from pytoon_pipeline.engines.comfyui.workflows import Graph, Workflow
from pytoon_pipeline.errors import EngineUnavailableError

_PREFERRED = {"format": "mp4", "codec": "h264"}
"""Of the node that writes the video, where the server has them."""
_DEEPEST = 10
"""Choices inside each other."""
_DYNAMIC = "COMFY_DYNAMICCOMBO_V3"
"""A choice that brings inputs of its own: `name` is the choice, `name.sub` its inputs."""


def list_node_classes(workflow: Workflow) -> list[str]:
    return sorted({node["class_type"] for node in workflow.graph.values()})


def adapt_to_server(workflow: Workflow, definitions: Mapping[str, Any], server: str) -> Graph:
    """The workflow's graph as this server wants it: required inputs that it lacks are filled from
    their defaults, the node that writes the video is built from what it offers.

    Raises EngineUnavailableError, naming every node, input and model file that the server lacks.
    """
    graph = copy.deepcopy(workflow.graph)
    missing = sorted({c for c in list_node_classes(workflow) if c not in definitions})
    problems = [f"it has no node {name}: update ComfyUI, or install the node" for name in missing]
    for id_, node in graph.items():
        if node["class_type"] in missing:
            continue
        given = node["inputs"]
        if id_ == workflow.binding.save:
            given = node["inputs"] = _choose_output_format(definitions[node["class_type"]], given)
        for name, spec in list(_iterate_required(definitions[node["class_type"]], given)):
            if name not in given:
                value = _default_value(spec)
                if value is None:
                    problems.append(f"{id_} ({node['class_type']}) wants an input {name!r} there")
                else:
                    given[name] = value
        problems += _find_missing_choices(workflow, id_, node, definitions[node["class_type"]])
    if problems:
        raise EngineUnavailableError(
            f"{server} can't run the workflow {workflow.name}: " + "; ".join(problems) + "."
        )
    return graph


def list_options(spec: Any) -> list[object] | None:
    """What a choice offers, in the old form (`[[...], {}]`) or the new (`["COMBO", {...}]`); None
    for an input that is no choice, or whose choices the server keeps elsewhere."""
    if not isinstance(spec, list) or not spec:
        return None
    if isinstance(spec[0], list):
        return spec[0]
    given = _read_input_settings(spec).get("options")
    if spec[0] == "COMBO" and isinstance(given, list):
        return given
    if spec[0] == _DYNAMIC and isinstance(given, list):
        return [str(as_mapping(option).get("key")) for option in given]
    return None


def _read_input_settings(spec: Any) -> dict[str, Any]:
    return as_mapping(spec[1]) if isinstance(spec, list) and len(spec) > 1 else {}


def _iterate_required(definition: Any, given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Required inputs of a node, those that its choices bring included."""
    for name, spec in as_mapping(
        as_mapping(as_mapping(definition).get("input")).get("required")
    ).items():
        yield name, spec
        yield from _iterate_dependent_inputs(name, spec, given, _DEEPEST)


def _iterate_dependent_inputs(
    name: str, spec: Any, given: Mapping[str, Any], deeper: int
) -> Iterator[tuple[str, Any]]:
    if not isinstance(spec, list) or not spec or spec[0] != _DYNAMIC or not deeper:
        return
    choice = given.get(name, _default_value(spec))
    for option in map(as_mapping, as_list(_read_input_settings(spec).get("options"))):
        if option.get("key") == choice:
            for sub, inner in as_mapping(as_mapping(option.get("inputs")).get("required")).items():
                yield f"{name}.{sub}", inner
                yield from _iterate_dependent_inputs(f"{name}.{sub}", inner, given, deeper - 1)


def _default_value(spec: Any) -> Any:
    """A plain value; None where there is none."""
    offered = list_options(spec)
    found = _read_input_settings(spec).get("default", offered[0] if offered else None)
    return found if isinstance(found, (str, int, float)) else None


def _choose_output_format(definition: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs of the node that writes the video, its format and codec chosen from what this
    server offers: they have been two choices, and one inside the other."""
    kept = {k: v for k, v in given.items() if k.partition(".")[0] not in _PREFERRED}
    for name, spec in _iterate_required(definition, {**kept, **_PREFERRED}):
        wanted, offered = _PREFERRED.get(name.rpartition(".")[2]), list_options(spec)
        if wanted is not None and offered:
            kept[name] = wanted if wanted in offered else _default_value(spec)
    return kept


def _find_missing_choices(
    workflow: Workflow, id_: str, node: Any, definition: Any
) -> Iterator[str]:
    """Values of a node that the server does not offer."""
    inputs = as_mapping(as_mapping(definition).get("input"))
    filled = {target.at for _, target in workflow.binding.inputs.all()}
    known = {
        **as_mapping(inputs.get("optional")),
        **dict(_iterate_required(definition, node["inputs"])),
    }
    for name, value in node["inputs"].items():
        offered = list_options(known.get(name))
        if offered is None or isinstance(value, list) or f"{id_}.{name}" in filled:
            continue
        if value in offered:
            continue
        model = workflow.binding.models.get(f"{id_}.{name}")
        if model is not None:
            yield f"models/{model.folder}/{model.file} is not installed (node {id_})"
        else:
            yield f"{id_} ({node['class_type']}) does not offer {value!r} as {name!r}"
