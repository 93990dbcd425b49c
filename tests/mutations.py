"""Small damage to files and folders, drawn from a random generator: blind, or behind a header that still holds.

A mutation takes (random, bytes) and returns bytes. What keeps the header gets past a parser's first check: JSON stays
JSON, a PNG's and a zip's checksums are made right again, a safetensors file's lengths agree.
"""

from __future__ import annotations

import copy
import io
import json
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx

Random = np.random.Generator
Mutation = Callable[[Random, bytes], bytes]

HEADER_BYTES = 64
"""What the plain mutations of a file's body leave alone."""
_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF)
_TEXTS = (
    *("", " ", "\0", "\n\r\t\x1b[31m", "\u202e\u2066", "\ud800", "ñ" * 300, "x" * 100_000, "..", "../../canary/file"),
    *("/etc/passwd", "/dev/zero", "NaN", "__class__", "{{ 7*7 }}", "<script>", "%s%n", "C:\\", "null"),
)
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 10**30, 10**400, 0.5, -0.0, 1e-320, 1e308),
    *(float("nan"), float("inf"), float("-inf"), [], {}, [[]], {"": None}, [None] * 1000, list(range(300))),
)


# Any file


def flipped(random: Random, data: bytes) -> bytes:
    """Overwrite a few bytes, or bits of them, anywhere."""
    return _flipped(random, data, 0)


def flipped_body(random: Random, data: bytes) -> bytes:
    """Overwrite a few bytes, or bits of them, behind the header."""
    return _flipped(random, data, HEADER_BYTES)


def _flipped(random: Random, data: bytes, start: int) -> bytes:
    if len(data) <= start:
        return data
    changed = bytearray(data)
    for place in random.integers(start, len(data), random.integers(1, 24)):
        changed[place] = random.integers(256) if random.random() < 0.5 else changed[place] ^ (1 << random.integers(8))
    return bytes(changed)


def with_a_number(random: Random, data: bytes) -> bytes:
    """Overwrite two, four or eight bytes behind the header with a number that programs trip over."""
    size = int(random.choice([2, 4, 8]))
    if len(data) <= HEADER_BYTES + size:
        return data
    place = int(random.integers(HEADER_BYTES, len(data) - size))
    number = int(_NUMBERS[random.integers(len(_NUMBERS))]) & ((1 << (8 * size)) - 1)
    order = "big" if random.random() < 0.5 else "little"
    return data[:place] + number.to_bytes(size, order) + data[place + size :]


def cut(random: Random, data: bytes) -> bytes:
    """Cut the file somewhere."""
    return data[: int(random.integers(0, max(1, len(data))))]


def without_a_piece(random: Random, data: bytes) -> bytes:
    """Leave out a piece from the middle."""
    start, end = sorted(int(place) for place in random.integers(0, len(data) + 1, 2))
    return data[:start] + data[end:]


def with_a_piece_twice(random: Random, data: bytes) -> bytes:
    """Repeat a piece somewhere else."""
    start, end, place = (int(place) for place in random.integers(0, len(data) + 1, 3))
    return data[:place] + data[min(start, end) : max(start, end)][:65536] + data[place:]


def of_zeros(random: Random, data: bytes) -> bytes:
    """Zero a stretch, as a disk that lost a block does."""
    start = int(random.integers(0, max(1, len(data))))
    num = min(int(random.integers(1, 4096)), len(data) - start)
    return data[:start] + bytes(num) + data[start + num :]


BLIND: tuple[Mutation, ...] = (flipped, cut, without_a_piece, with_a_piece_twice, of_zeros)
BODY: tuple[Mutation, ...] = (flipped_body, with_a_number)


# JSON


def changed_json(random: Random, data: bytes) -> bytes:
    """Change the values, the names or the shape of a JSON text; it stays one."""
    return dumped(changed_values(random, json.loads(data)))


def dumped(values: Any) -> bytes:
    """Return the JSON of values that may hold lone surrogates, NaN and thousands of digits."""
    return json.dumps(values).encode()


def changed_values(random: Random, values: Any) -> Any:
    """Return JSON values with one to three changes; what was given may change too."""
    root = [values]
    for _ in range(random.integers(1, 4)):
        parents = list(_containers(root))
        parent = parents[random.integers(len(parents))]
        if not parent:
            continue
        keys = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
        _change(random, parent, keys[random.integers(len(keys))])
        if not root:
            return None
    return root[0]


def _containers(value: Any) -> Any:
    if isinstance(value, (dict, list)):
        yield value
        for item in value.values() if isinstance(value, dict) else value[:50]:
            yield from _containers(item)


def _change(random: Random, parent: Any, key: Any) -> None:
    match random.integers(9):
        case 0:
            del parent[key]
        case 1 | 2:
            parent[key] = copy.deepcopy(_VALUES[random.integers(len(_VALUES))])
        case 3:
            parent[key] = _TEXTS[random.integers(len(_TEXTS))]
        case 4:
            parent[key] = [parent[key]]
        case 5 if isinstance(parent, dict):
            parent[_TEXTS[random.integers(len(_TEXTS))]] = parent.pop(key)
        case 6 if type(parent[key]) in (int, float) and abs(parent[key]) < 1e300:
            parent[key] = parent[key] * float(random.choice([-1, 0.5, 1e3, 1e9, 1e300, 1e-9]))
        case 7:
            parent[key] = _nested(int(random.choice([10, 100, 300])))
        case _ if isinstance(parent, list):
            parent += [parent[key]] * int(random.integers(1, 30))


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def too_deep_json(random: Random, data: bytes) -> bytes:
    """Nest the JSON text deeper than any parser goes, or write a number of as many digits."""
    if random.random() < 0.5:
        return b"[" * 100_000 + data + b"]" * 100_000
    return data.replace(b": 1", b": " + b"9" * 10_000, 1)


JSON: tuple[Mutation, ...] = (changed_json, changed_json, changed_json, too_deep_json)


# Safetensors


def changed_safetensors(random: Random, data: bytes) -> bytes:
    """Change the header's table of tensors, its length being told rightly, or the numbers behind it."""
    length = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    match random.integers(5):
        case 0:
            header = changed_values(random, header)
        case 1:  # as many bytes as before, otherwise laid out
            name = list(header)[random.integers(len(header))]
            if "shape" in header[name]:
                header[name]["shape"] = [int(np.prod(header[name]["shape"]))]
        case 2:
            names = [name for name in header if "data_offsets" in header[name]]
            one, other = (names[i] for i in random.integers(len(names), size=2))
            header[one]["data_offsets"], header[other]["data_offsets"] = (
                header[other]["data_offsets"],
                header[one]["data_offsets"],
            )
        case 3:
            body = _special_floats(random, body)
        case _:
            header["__metadata__"] = {_TEXTS[random.integers(len(_TEXTS))]: "x" * int(random.integers(1, 100_000))}
    text = dumped(header)
    return struct.pack("<Q", len(text)) + text + body


def of_an_absurd_length(random: Random, data: bytes) -> bytes:
    """Tell a header's length that the file has not, up to exabytes."""
    return struct.pack("<Q", int(_NUMBERS[random.integers(len(_NUMBERS))])) + data[8:]


def _special_floats(random: Random, data: bytes) -> bytes:
    floats = np.frombuffer(data[: len(data) // 4 * 4], "<f4").copy()
    floats[random.integers(0, len(floats), 20)] = random.choice([np.nan, np.inf, -np.inf, 3e38, 1e-40, 0.0])
    return floats.tobytes() + data[len(data) // 4 * 4 :]


SAFETENSORS: tuple[Mutation, ...] = (changed_safetensors, changed_safetensors, of_an_absurd_length)


# Pictures and videos


def changed_png(random: Random, data: bytes) -> bytes:
    """Change a chunk of a PNG, mostly its header, and make its checksum right again."""
    chunks = _png_chunks(data)
    place = 0 if random.random() < 0.5 else int(random.integers(len(chunks)))
    kind, body = chunks[place]
    if kind == b"IHDR" and random.random() < 0.7:
        width, height = (int(random.choice([0, 1, 255, 257, 512, 8193, 60_000, 2**31 - 1])) for _ in range(2))
        depth, colour = int(random.choice([1, 2, 4, 8, 16, 3])), int(random.choice([0, 2, 3, 4, 6, 5]))
        body = struct.pack(">II5B", width, height, depth, colour, 0, 0, int(random.integers(2)))
    elif random.random() < 0.3:
        chunks.insert(place, (kind, body))
    else:
        body = _flipped(random, body, 0)
    chunks[place] = (kind, body)
    return data[:8] + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def _png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    chunks, place = [], 8
    while place + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += length + 12
    return chunks


PNG: tuple[Mutation, ...] = (changed_png, changed_png, flipped_body)


def changed_index(random: Random, data: bytes) -> bytes:
    """Change numbers in an mp4's index: sizes, counts, times, offsets. Elsewhere, as any number behind the header."""
    start = data.find(b"moov")
    if start < 0:
        return with_a_number(random, data)
    length = int.from_bytes(data[start - 4 : start], "big")
    changed = bytearray(data)
    for _ in range(random.integers(1, 6)):
        place = start + 4 + 4 * int(random.integers(0, max(1, (length - 12) // 4)))
        changed[place : place + 4] = (int(_NUMBERS[random.integers(len(_NUMBERS))]) & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(changed[: len(data)])


VIDEO: tuple[Mutation, ...] = (changed_index, flipped_body, with_a_number)


# Archives


def changed_zip(random: Random, data: bytes) -> bytes:
    """Change what an archive holds, and pack it again with its checksums right."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    place = int(random.integers(len(entries)))
    name, body = entries[place]
    match random.integers(5):
        case 0:
            entries.pop(place)
        case 1:
            entries[place] = (f"../../canary/{name}", body)
        case 2:
            entries.append(entries[place])
        case 3:
            entries[place] = (name, _special_floats(random, body) if len(body) > 200 else cut(random, body))
        case _:
            entries[place] = (name, _flipped(random, body, 0))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, body in entries:
            archive.writestr(zipfile.ZipInfo(name), body)
    return out.getvalue()


def changed_arrays(random: Random, data: bytes) -> bytes:
    """Change the arrays of an .npz: other types, shapes, numbers; or headers that promise what isn't there."""
    with np.load(io.BytesIO(data)) as archive:
        arrays: dict[str, Any] = dict(archive)
    name = list(arrays)[random.integers(len(arrays))]
    array = arrays[name]
    match random.integers(7):
        case 0:
            arrays[name] = array.astype(random.choice(["f4", "i2", "U9", "c16", "?"]))
        case 1:
            arrays[name] = array[: len(array) // 2]
        case 2:
            arrays[name] = array.reshape(-1)
        case 3 if array.dtype.kind == "f":
            array.flat[random.integers(0, array.size, 9)] = random.choice([np.nan, np.inf, 1e300, -1e9])
        case 4:
            arrays[name] = np.zeros_like(array)
        case 5:
            arrays[name] = array[::-1]
        case _:
            return _with_a_promise(random, arrays, name)
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def _with_a_promise(random: Random, arrays: dict[str, Any], promised: str) -> bytes:
    """Return an .npz of which one array's header speaks of more than there is, or of objects, which are pickles."""
    shape, kind = ("(1099511627776,)", "<f8") if random.random() < 0.5 else ("(3,)", "|O")
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            body = io.BytesIO()
            np.save(body, array)
            forged = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + b"\x80\x04cos\nsystem\n."
            archive.writestr(f"{name}.npy", forged if name == promised else body.getvalue())
    return out.getvalue()


ARRAYS: tuple[Mutation, ...] = (changed_arrays, changed_arrays, changed_zip)
ZIP: tuple[Mutation, ...] = (changed_zip,)


# ONNX


def changed_onnx(random: Random, data: bytes) -> bytes:
    """Change a model's metadata, nodes, weights or shapes; it stays a model."""
    model = onnx.load_model_from_string(data)
    graph = model.graph
    match random.integers(7):
        case 0 | 1:
            for entry in (each for each in model.metadata_props if each.value.startswith("{")):
                entry.value = dumped(changed_values(random, json.loads(entry.value))).decode()
        case 2:
            node = graph.node[random.integers(len(graph.node))]
            node.op_type = str(random.choice(["If", "Loop", "Resize", "Conv", "Reshape", "NoSuchThing"]))
        case 3:
            tensor = graph.initializer[random.integers(len(graph.initializer))]
            tensor.dims[:] = [int(random.choice([0, -1, 1, 3, 2**31, 2**62])) for _ in tensor.dims]
        case 4:
            tensor = graph.initializer[random.integers(len(graph.initializer))]
            tensor.raw_data = _special_floats(random, tensor.raw_data) if len(tensor.raw_data) >= 4 else b""
        case 5:
            tensor = graph.initializer[random.integers(len(graph.initializer))]
            tensor.data_location = onnx.TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value=str(random.choice(["../canary/file", "/etc/passwd"])))
        case _:
            node = graph.node[random.integers(len(graph.node))]
            if node.input:
                node.input[random.integers(len(node.input))] = graph.node[random.integers(len(graph.node))].output[0]
    return model.SerializeToString()


ONNX: tuple[Mutation, ...] = (changed_onnx,)


# Folders


def disturb(random: Random, folder: Path) -> None:
    """Do to one file of a folder what unpacking, copying and syncing do: lose it, empty it, link it, rename it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    path = files[random.integers(len(files))]
    match random.integers(9):
        case 0:
            path.unlink()
        case 1:
            path.write_bytes(b"")
        case 2:
            path.unlink()
            path.mkdir()
        case 3:
            path.unlink()
            path.symlink_to(path)
        case 4:
            path.unlink()
            path.symlink_to(folder.parent / "canary" / "file")
        case 5:
            path.unlink()
            os.mkfifo(path)
        case 6:
            path.rename(path.with_name(str(random.choice(["é\n.png", "  ", "9" * 200, "-rf", "a\x1b[2J.json"]))))
        case 7:
            shutil.copy(path, path.with_name("0" + path.name))
        case _:
            other = files[random.integers(len(files))]
            path.write_bytes(other.read_bytes())
