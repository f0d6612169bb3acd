"""The reference of the files that have a JSON schema: the record of a result, the manifest of a submission."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import d3s2bench
from d3s2bench_docs.text import Item, inline, table

Schema = dict[str, Any]
HOME = Path(d3s2bench.__file__).parent


def schemas() -> dict[str, Schema]:
    """Name → schema of every file ``<name>.schema.json`` of the engine."""
    files = sorted(HOME.rglob("*.schema.json"))
    return {file.name.removesuffix(".schema.json"): json.loads(file.read_text(encoding="utf-8")) for file in files}


def items() -> Iterator[Item]:
    for name, schema in schemas().items():
        for key, value in _all_fields(schema):
            yield Item(f"schema {name}", key, _meaning(schema, value))


def pages() -> dict[str, tuple[str, str]]:
    return {f"{name}.md": (schema["title"], _page(schema)) for name, schema in schemas().items()}


def _page(schema: Schema) -> str:
    parts = [f"# {schema['title']}\n", inline(schema.get("description", "")) + "\n", _fields_table(schema, schema)]
    for name, part in schema.get("$defs", {}).items():
        if "properties" in part:
            parts += [f"## {name}\n", inline(part.get("description", "")) + "\n", _fields_table(schema, part)]
    return "\n".join(parts)


def _fields_table(schema: Schema, part: Schema) -> str:
    required = part.get("required", [])
    rows = [
        (f"`{key}`", _type(schema, value), _meaning(schema, value) + _unless(key.partition(".")[0] in required))
        for key, value in _fields(part)
    ]
    return table(("key", "value", "meaning"), rows)


def _unless(required: bool) -> str:
    return "" if required else " Optional."


def _fields(part: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """The keys of an object and of the objects in it, with dots."""
    for key, value in part.get("properties", {}).items():
        yield f"{path}{key}", value
        yield from _fields(value, f"{path}{key}.")


def _all_fields(schema: Schema) -> Iterator[tuple[str, Schema]]:
    yield from _fields(schema)
    for name, part in schema.get("$defs", {}).items():
        yield from _fields(part, f"{name}.")


def _meaning(schema: Schema, value: Schema) -> str:
    told = value.get("description") or _target(schema, value).get("description", "")
    return inline(told)


def _target(schema: Schema, value: Schema) -> Schema:
    """What a reference means; the value itself where it is none."""
    if "$ref" not in value:
        return value
    found: Schema = schema["$defs"][value["$ref"].removeprefix("#/$defs/")]
    return found


def _type(schema: Schema, value: Schema) -> str:
    """In words; a reference to an object links to its section."""
    if name := value.get("$ref", "").removeprefix("#/$defs/"):
        target = _target(schema, value)
        return f"[{name}](#{name})" if "properties" in target else _type(schema, target)
    if "oneOf" in value:
        return " or ".join(_type(schema, each) for each in value["oneOf"])
    if "enum" in value or "const" in value:
        return ", ".join(f"`{json.dumps(each)}`" for each in value.get("enum", [value.get("const")]))
    if value.get("type") == "array":
        return f"list of {_type(schema, value.get('items', {}))}"
    return " or ".join([value["type"]] if isinstance(value.get("type"), str) else value.get("type", ["any"]))
