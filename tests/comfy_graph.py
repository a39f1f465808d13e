"""What a ComfyUI server makes of a prompt graph before and while it runs it: its checks, its cache
keys, the order of the nodes, and the size and length of the video that comes out."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

Graph = dict[str, Any]
FIXTURES = Path(__file__).parent / "fixtures" / "comfyui"

OFFICIAL: Mapping[str, tuple[str, ...]] = {
    "diffusion_models": (
        "wan2.2_ti2v_5B_fp16.safetensors",
        "wan2.2_i2v_high_noise_14B_fp8_scaled.safetensors",
        "wan2.2_i2v_low_noise_14B_fp8_scaled.safetensors",
        "wan2.2_t2v_high_noise_14B_fp8_scaled.safetensors",
        "wan2.2_t2v_low_noise_14B_fp8_scaled.safetensors",
    ),
    "text_encoders": (
        "umt5_xxl_fp8_e4m3fn_scaled.safetensors",
        "gemma_3_12B_it_fp4_mixed.safetensors",
    ),
    "vae": ("wan2.2_vae.safetensors", "wan_2.1_vae.safetensors"),
    "loras": (
        "wan2.2_i2v_lightx2v_4steps_lora_v1_high_noise.safetensors",
        "wan2.2_i2v_lightx2v_4steps_lora_v1_low_noise.safetensors",
        "wan2.2_t2v_lightx2v_4steps_lora_v1.1_high_noise.safetensors",
        "wan2.2_t2v_lightx2v_4steps_lora_v1.1_low_noise.safetensors",
        "ltx-2-19b-distilled-lora-384.safetensors",
    ),
    "checkpoints": ("ltx-2-19b-distilled.safetensors", "ltx-2-19b-dev-fp8.safetensors"),
    "latent_upscale_models": ("ltx-2-spatial-upscaler-x2-1.0.safetensors",),
    "clip_vision": (),
    "upscale_models": (),
}
"""Model files by folder, as the official templates name them."""

_MODEL_INPUTS = {
    "UNETLoader": {"unet_name": "diffusion_models"},
    "CLIPLoader": {"clip_name": "text_encoders"},
    "VAELoader": {"vae_name": "vae"},
    "LoraLoaderModelOnly": {"lora_name": "loras"},
    "CheckpointLoaderSimple": {"ckpt_name": "checkpoints"},
    "LTXAVTextEncoderLoader": {"text_encoder": "text_encoders", "ckpt_name": "checkpoints"},
    "LTXVAudioVAELoader": {"ckpt_name": "checkpoints"},
    "LatentUpscaleModelLoader": {"model_name": "latent_upscale_models"},
    "CLIPVisionLoader": {"clip_name": "clip_vision"},
}


def numbers(version: str) -> tuple[int, ...]:
    """`0.12.1` -> (0, 12, 1)."""
    return tuple(int(part) for part in version.split("."))


def definitions(
    version: str,
    models: Mapping[str, tuple[str, ...]],
    inputs: tuple[str, ...] = (),
    without: tuple[str, ...] = (),
) -> dict[str, Any]:
    """What `/object_info` says: node classes with the model and input files that are there.

    `without` names classes that this server lacks. SaveVideo is the one node that differs between
    the versions in a way that matters: from 0.38 its codec lies inside its format.
    """
    nodes = json.loads((FIXTURES / "nodes.json").read_text())
    for name, fields in _MODEL_INPUTS.items():
        for field, folder in fields.items():
            built_in = ["pixel_space"] if folder == "vae" else []
            _fill(nodes[name]["input"]["required"][field], [*models.get(folder, ()), *built_in])
    nodes["LoadImage"]["input"]["required"]["image"][0] = list(inputs)
    if numbers(version) >= (0, 38):
        save = nodes["SaveVideo"]["input"]
        codec = ["COMBO", {"default": "auto", "options": ["auto", "h264"]}]
        save["required"].pop("codec")
        save["required"]["format"] = [
            "COMFY_DYNAMICCOMBO_V3",
            {
                "options": [
                    {"key": key, "inputs": {"required": {"codec": copy.deepcopy(codec)}}}
                    for key in ("auto", "mp4", "mkv", "webm")
                ]
            },
        ]
        save["optional"] = {"codec": [*codec[:1], {**codec[1], "hidden": True}]}
        nodes["SaveVideo"]["input_order"]["required"].remove("codec")
        nodes["SaveVideo"]["input_order"]["optional"] = ["codec"]
    return {name: node for name, node in nodes.items() if name not in without}


def _fill(spec: list[Any], names: list[str]) -> None:
    """Put file names into a combo, of the old form `[[...], {}]` or the new `["COMBO", {...}]`."""
    if spec[0] == "COMBO":
        spec[1]["options"] = names
    else:
        spec[0] = names


def is_link(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2


# ---- checks ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """Either `error` (the whole answer of a 400), or the outputs that will run, with the errors of
    those that will not."""

    outputs: list[str]
    node_errors: dict[str, Any]
    error: dict[str, Any] | None = None


def check(
    graph: Any, nodes: Mapping[str, Any], version: str, has_input: Callable[[str], bool]
) -> Verdict:
    """The server's validation: some faults are named, some are let through, as seen."""
    old = numbers(version) < (0, 12)
    outputs = []
    for node_id, node in dict(graph).items():
        kind = node.get("class_type")  # An AttributeError here is the server's own 500.
        if kind is None or kind not in nodes:
            return Verdict([], {}, no_such_node(node_id, node, old))
        if nodes[kind]["output_node"]:
            outputs.append(node_id)
    if not outputs:
        return Verdict([], {}, problem("prompt_no_outputs", "Prompt has no outputs"))
    failed = problem("prompt_outputs_failed_validation", "Prompt outputs failed validation")
    if _has_cycle(graph):
        return Verdict([], {}, failed)

    checked: dict[str, list[dict[str, Any]] | None] = {}
    good, node_errors, of_outputs = [], {}, []
    for output in outputs:
        mine: dict[str, bool] = {}
        try:
            if _check_node(output, graph, nodes, old, has_input, checked, mine):
                good.append(output)
                continue
        except Exception as error:
            checked[output] = [
                _raised("exception_during_validation", "Exception when validating node", error)
            ]
            mine[output] = False
        of_outputs += checked[output] or []
        for node_id in mine:
            if errors := checked[node_id]:
                entry = node_errors.setdefault(
                    node_id,
                    {
                        "errors": errors,
                        "dependent_outputs": [],
                        "class_type": graph[node_id]["class_type"],
                    },
                )
                entry["dependent_outputs"].append(output)
    if good:
        return Verdict(good, node_errors)
    failed["details"] = "\n".join(f"{e['message']}: {e['details']}" for e in of_outputs)
    return Verdict([], node_errors, failed)


def no_such_node(node_id: str, node: dict[str, Any], old: bool) -> dict[str, Any]:
    kind, title = node.get("class_type"), node.get("_meta", {}).get("title")
    if old:
        message = (
            "Cannot execute because a node is missing the class_type property."
            if kind is None
            else f"Cannot execute because node {kind} does not exist."
        )
        return problem("invalid_prompt", message, f"Node ID '#{node_id}'")
    message = (
        f"Node 'ID #{node_id}' has no class_type. The workflow may be corrupted or a custom node "
        "is missing."
        if kind is None
        else f"Node '{title or kind}' not found. The custom node may not be installed."
    )
    extra = {"node_id": node_id, "class_type": kind, "node_title": title}
    return problem("missing_node_type", message, f"Node ID '#{node_id}'", extra)


def problem(
    kind: str, message: str, details: str = "", extra: dict | None = None
) -> dict[str, Any]:
    return {"type": kind, "message": message, "details": details, "extra_info": extra or {}}


def _raised(kind: str, message: str, error: Exception, **extra: Any) -> dict[str, Any]:
    extra |= {
        "exception_message": str(error),
        "exception_type": type(error).__name__,
        "traceback": ['  File "execution.py", line 852, in validate_inputs\n'],
    }
    return problem(kind, message, str(error), extra)


def _check_node(
    node_id: str,
    graph: Graph,
    nodes: Mapping[str, Any],
    old: bool,
    has_input: Callable[[str], bool],
    checked: dict[str, list[dict[str, Any]] | None],
    mine: dict[str, bool],
) -> bool:
    """True where the node and all it hangs on may run. Faults of a node met before are not found
    again; None stands for "wrong only because of something upstream"."""
    if node_id in checked:
        mine[node_id] = checked[node_id] == []
        return checked[node_id] == []
    node = graph[node_id]
    inputs, kind = node["inputs"], node["class_type"]
    errors: list[dict[str, Any]] = []
    upstream = True
    for name, spec, required in _fields(nodes[kind], inputs):
        if name not in inputs:
            if required:
                errors.append(
                    problem(
                        "required_input_missing",
                        "Required input is missing",
                        name.rpartition(".")[2],
                        {"input_name": name},
                    )
                )
            continue
        value = inputs[name]
        info = {"input_name": name, "input_config": [*spec, {}][:2]}
        if is_link(value):
            source, slot = value
            given = tuple(nodes[graph[source]["class_type"]]["output"])[slot]
            if not _fits(given, spec[0]):
                details = f"{name}, received_type({given}) mismatch input_type({spec[0]})"
                errors.append(
                    problem(
                        "return_type_mismatch",
                        "Return type mismatch between linked nodes",
                        details,
                        info | {"received_type": given, "linked_node": value},
                    )
                )
                continue
            try:
                upstream &= _check_node(source, graph, nodes, old, has_input, checked, mine)
            except Exception as error:
                checked[source] = [
                    _raised(
                        "exception_during_inner_validation",
                        "Exception when validating inner node",
                        error,
                        **info,
                        linked_node=value,
                    )
                ]
                mine[source] = upstream = False
            continue
        errors += _value_errors(kind, name, value, spec, info, old, inputs, has_input)
    checked[node_id] = errors if errors or upstream else None
    mine[node_id] = not errors and upstream
    return mine[node_id]


def _fields(node: Mapping[str, Any], inputs: Mapping[str, Any]) -> Iterator[tuple[str, list, bool]]:
    """Inputs of a node with their definitions; those inside a chosen option under dotted names."""
    for group, required in (("required", True), ("optional", False)):
        for name, spec in node["input"].get(group, {}).items():
            if spec[0] != "COMFY_DYNAMICCOMBO_V3":
                yield name, spec, required
                continue
            # A selector that is left out or unknown passes here and fails at run, as seen.
            for option in spec[1]["options"]:
                if option["key"] == inputs.get(name):
                    for inner, inner_spec in option["inputs"].get("required", {}).items():
                        yield f"{name}.{inner}", inner_spec, True


def _fits(given: Any, wanted: Any) -> bool:
    return (
        wanted in ("*", given)
        or isinstance(wanted, list)
        or (isinstance(wanted, str) and given in wanted.split(","))
    )


def _value_errors(
    kind: str,
    name: str,
    value: Any,
    spec: list,
    info: dict[str, Any],
    old: bool,
    inputs: dict[str, Any],
    has_input: Callable[[str], bool],
) -> list[dict[str, Any]]:
    if (kind, name) in (("LoadImage", "image"), ("LoadVideo", "file")):
        if has_input(value):
            return []
        what = "image" if kind == "LoadImage" else "video"
        return [
            problem(
                "custom_validation_failed",
                "Custom validation failed for node",
                f"{name} - Invalid {what} file: {value}",
                {"input_name": name},
            )
        ]
    sort, limits = spec[0], spec[1] if len(spec) > 1 else {}
    info = info | {"received_value": value}
    if sort in ("INT", "FLOAT", "STRING"):
        convert = {"INT": int, "FLOAT": float, "STRING": str}[sort]
        try:
            value = inputs[name] = convert(value)  # Numeric strings are taken.
        except (TypeError, ValueError) as error:
            return [
                problem(
                    "invalid_input_type",
                    f"Failed to convert an input value to a {sort} value",
                    f"{name}, {value}, {error}",
                    info | {"exception_message": str(error)},
                )
            ]
        if "min" in limits and value < limits["min"]:
            return [
                problem(
                    "value_smaller_than_min",
                    f"Value {value} smaller than min of {limits['min']}",
                    name,
                    info,
                )
            ]
        if "max" in limits and value > limits["max"]:
            return [
                problem(
                    "value_bigger_than_max",
                    f"Value {value} bigger than max of {limits['max']}",
                    name,
                    info,
                )
            ]
    new_style = sort == "COMBO"
    options = limits.get("options") if new_style else sort if isinstance(sort, list) else None
    if options is not None and value not in options and not (new_style and old):
        listed = f"(list of length {len(options)})" if len(options) > 20 else f"{options}"
        return [
            problem(
                "value_not_in_list", "Value not in list", f"{name}: {value!r} not in {listed}", info
            )
        ]
    return []


def _has_cycle(graph: Graph) -> bool:
    done: set[str] = set()

    def walk(node_id: str, path: frozenset[str]) -> bool:
        if node_id in path:
            return True
        if node_id in done or node_id not in graph:
            return False
        found = any(walk(v[0], path | {node_id}) for v in _links(graph[node_id]))
        done.add(node_id)
        return found

    return any(walk(node_id, frozenset()) for node_id in graph)


def _links(node: Mapping[str, Any]) -> list[list[Any]]:
    return [v for v in node.get("inputs", {}).values() if is_link(v)]


# ---- running ---------------------------------------------------------------------------------


def order(graph: Graph, outputs: list[str]) -> list[str]:
    """The nodes that these outputs need, each after what it hangs on."""
    found: list[str] = []

    def visit(node_id: str) -> None:
        if node_id not in found:
            for link in _links(graph[node_id]):
                visit(link[0])
            found.append(node_id)

    for output in outputs:
        visit(output)
    return found


def signature(graph: Graph, node_id: str, inputs_dir: Path) -> str:
    """A node's cache key: its class, its values, the same of all before it, and the bytes of an
    input file."""
    node = graph[node_id]
    parts: list[Any] = [node["class_type"]]
    for name, value in sorted(node["inputs"].items()):
        parts.append(
            [name, [signature(graph, value[0], inputs_dir), value[1]] if is_link(value) else value]
        )
    if node["class_type"] in ("LoadImage", "LoadVideo"):
        file = inputs_dir / str(node["inputs"].get("image") or node["inputs"].get("file"))
        parts.append(hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None)
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()


@dataclass(frozen=True)
class Shot:
    """A moving picture as it stands behind a node: what a take is to be made of."""

    width: int = 512
    height: int = 512
    frames: int = 1
    fps: float = 0.0
    seed: int = 0
    image: Path | None = None
    """The uploaded picture it starts from."""


_LATENTS = {  # class -> what width and height, and what frames less one, are rounded down to.
    "Wan22ImageToVideoLatent": (16, 4),
    "WanImageToVideo": (8, 4),
    "WanFirstLastFrameToVideo": (8, 4),
    "EmptyHunyuanLatentVideo": (8, 4),
    "EmptyLTXVLatentVideo": (32, 8),
    "LTXVImgToVideo": (32, 8),
}
_FOLLOWED = (
    "latent_image",
    "samples",
    "video_latent",
    "av_latent",
    "latent",
    "images",
    "image",
    "video",
    "pixels",
)
"""The input that carries the picture, for nodes that leave its size alone."""


def shot(graph: Graph, node_id: str, inputs_dir: Path) -> Shot:
    """What comes out of `node_id`. Sizes and lengths that a model can't have are rounded down
    without a word."""
    node = graph[node_id]
    kind, inputs = node["class_type"], node["inputs"]

    def before(name: str) -> Shot:
        return shot(graph, inputs[name][0], inputs_dir)

    if kind == "LoadImage":
        path = inputs_dir / inputs["image"]
        from PIL import Image

        with Image.open(path) as image:  # UnidentifiedImageError is the node's own failure.
            return Shot(*image.size, image=path)
    if kind in _LATENTS:
        step, beat = _LATENTS[kind]
        start = inputs.get("start_image") or inputs.get("image")
        found = shot(graph, start[0], inputs_dir) if is_link(start) else Shot()
        return replace(
            found,
            width=inputs["width"] // step * step,
            height=inputs["height"] // step * step,
            frames=(inputs["length"] - 1) // beat * beat + 1,
        )
    if kind == "EmptyImage":
        return Shot(inputs["width"], inputs["height"], inputs.get("batch_size", 1))
    if kind == "LTXVImgToVideoInplace":
        return replace(before("latent"), image=before("image").image)
    found = Shot()
    for name in _FOLLOWED:
        if is_link(inputs.get(name)):
            found = before(name)
            break
    seed = inputs.get("noise_seed", inputs.get("seed"))
    if is_link(inputs.get("noise")):
        seed = graph[inputs["noise"][0]]["inputs"].get("noise_seed")
    if isinstance(seed, int) and seed:
        found = replace(found, seed=seed)
    if kind == "LTXVLatentUpsampler":
        return replace(found, width=found.width * 2, height=found.height * 2)
    if kind == "ImageScale":
        return replace(found, width=inputs["width"], height=inputs["height"])
    if kind == "RepeatImageBatch":
        return replace(found, frames=found.frames * inputs["amount"])
    if kind == "ImageFromBatch":
        left = max(1, found.frames - inputs["batch_index"])
        return replace(found, frames=min(inputs["length"], left))
    if kind == "CreateVideo":
        return replace(found, fps=float(inputs["fps"]))
    return found
