"""Files of integer networks: safetensors with the arrays, and JSON with the rest; nothing in them can run.

`<layer index>.weights|multiplier|bias` are the arrays in the narrowest integer type; the metadata entry `galton` holds the JSON
text {version, digest, network, layers, report, module}, digest being the SHA-256 of the other keys and the arrays.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from galton.errors import ImageError
from galton.network import Activation, Ints, Layer, Network

VERSION = 1
ARRAYS = ("weights", "multiplier", "bias")


def save(network: Network, path: Path | str, report: dict[str, Any] | None = None, module: dict[str, Any] | None = None) -> None:
    """Write `network`, what its quantizer reported, and what galton.saving needs for its torch module (JSON values)."""
    arrays = {f"{index}.{name}": narrow(getattr(layer, name)) for index, layer in enumerate(network.layers) for name in ARRAYS}
    content = {
        "version": VERSION,
        "network": {field.name: getattr(network, field.name) for field in fields(Network) if field.name != "layers"},
        "layers": [scalars(layer) for layer in network.layers],
        "report": report or {},
        "module": module,
    }
    write(content, arrays, path)


def load(path: Path | str) -> tuple[Network, dict[str, Any]]:
    """The network and the quantizer's report.

    Raises ImageError for a file that is not such a file, truncated, corrupted, or of another version.
    """
    content, arrays = read(path)
    if "layers" not in content:
        raise ImageError(f"{path} holds a network of another graph than the accelerator's: galton.load(path, module) reads it")
    try:
        return restore(content, arrays), content["report"]
    except (KeyError, TypeError, ValueError) as error:
        raise ImageError(f"{path} does not describe a network: {error}") from error


def write(content: dict[str, Any], arrays: dict[str, Any], path: Path | str) -> None:
    """Write JSON values and arrays with their digest."""
    stated = {**content, "digest": digest(content, arrays)}
    save_file(arrays, str(path), metadata={"galton": json.dumps(stated)})


def read(path: Path | str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What `write` wrote; raises ImageError as `load` does."""
    Path(path).open("rb").close()
    try:
        with safe_open(str(path), framework="numpy") as file:
            metadata, names = file.metadata() or {}, file.keys()
            arrays = {name: file.get_tensor(name) for name in names}
        content: dict[str, Any] = json.loads(metadata["galton"])
        version = content["version"]
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ImageError(f"{path} is not a quantized network: {error}. `galton quantize` writes one") from error
    if version != VERSION:
        raise ImageError(f"{path} has version {version}, this program reads {VERSION}: quantize the model again")
    stated = content.pop("digest", None)
    if stated != digest(content, arrays):
        raise ImageError(f"{path} is corrupted: its digest does not match its contents. Quantize the model again")
    return content, arrays


def narrow(array: Ints) -> np.ndarray[Any, Any]:
    """The same values in the narrowest signed integer type."""
    for kind in (np.int8, np.int16, np.int32):
        limits = np.iinfo(kind)
        if array.size == 0 or (limits.min <= array.min() and array.max() <= limits.max):
            return np.ascontiguousarray(array, kind)
    return np.ascontiguousarray(array, np.int64)


def scalars(layer: Layer) -> dict[str, Any]:
    """Everything of a layer but its arrays, as JSON values."""
    values = {field.name: getattr(layer, field.name) for field in fields(Layer) if field.name not in ARRAYS}
    return {**values, "activation": asdict(layer.activation)}


def digest(content: dict[str, Any], arrays: dict[str, Any]) -> str:
    """SHA-256 of the JSON values and the arrays, as hexadecimal text."""
    total = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    for name in sorted(arrays):
        total.update(f"{name} {arrays[name].dtype} {arrays[name].shape} ".encode())
        total.update(arrays[name].tobytes())
    return total.hexdigest()


def restore(content: dict[str, Any], arrays: dict[str, Any]) -> Network:
    """The network that `save` took apart."""
    layers = []
    for index, values in enumerate(content["layers"]):
        shapes = {name: tuple(values[name]) for name in ("input_shape", "stride", "padding", "pool")}
        layer_arrays = {name: arrays[f"{index}.{name}"].astype(np.int64) for name in ARRAYS}
        layers.append(Layer(**{**values, **shapes, **layer_arrays, "activation": Activation(**values["activation"])}))
    network = content["network"]
    return Network(**{**network, "input_shape": tuple(network["input_shape"])}, layers=tuple(layers))
