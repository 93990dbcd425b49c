"""Command-line options made from the settings dataclasses, so that names, defaults and help stand in one place."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar, Union

from mueca.errors import SettingsError

S = TypeVar("S")


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are SettingsErrors of one line."""

    def error(self, message: str) -> NoReturn:
        raise SettingsError(f"{message}; see {self.prog} --help")


def parse(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None, *, known: Mapping[str, Sequence[str]]
) -> argparse.Namespace:
    """Return the parsed arguments; raises SettingsError at an unknown option, naming the nearest one that is known."""
    parsed, unknown = parser.parse_known_args(arguments)
    if unknown:
        nearest = difflib.get_close_matches(unknown[0].split("=")[0], known[parsed.command], n=1, cutoff=0.8)
        hint = f"did you mean {nearest[0]}?" if nearest else f"see {parser.prog} {parsed.command} --help"
        raise SettingsError(f"unknown setting {unknown[0]}; {hint}")
    return parsed


def flags_of(kind: type) -> list[str]:
    """Return the options that the dataclass makes, such as ``--max-frames``."""
    return [_flag_of(field) for field, _ in _flat_fields(kind)]


def add_options(parser: argparse.ArgumentParser, kind: type) -> None:
    """Add an option for every field of the dataclass, and of the dataclasses in it; equal names are added once."""
    added = {option for action in parser._actions for option in action.option_strings}
    for field, hint in _flat_fields(kind):
        flag = _flag_of(field)
        if flag not in added:
            added.add(flag)
            parser.add_argument(flag, **_argument(field, hint))


def settings_from(kind: type[S], arguments: argparse.Namespace, **defaults: Any) -> S:
    """Return the settings that were given on the command line; ``defaults`` stand in for those that were not."""
    given = defaults | vars(arguments)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(typing.cast(Any, kind)):
        hint = typing.get_type_hints(kind)[field.name]
        if dataclasses.is_dataclass(hint):
            values[field.name] = settings_from(typing.cast(type, hint), arguments, **defaults)
        elif field.name in given:
            several = typing.get_origin(hint) is tuple
            values[field.name] = tuple(given[field.name]) if several else given[field.name]
    return kind(**values)


def _flat_fields(kind: type) -> Iterator[tuple[dataclasses.Field[Any], Any]]:
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(typing.cast(Any, kind)):
        if dataclasses.is_dataclass(hints[field.name]):
            yield from _flat_fields(hints[field.name])
        else:
            yield field, hints[field.name]


def _flag_of(field: dataclasses.Field[Any]) -> str:
    return "--" + (field.metadata["flag"] or field.name.replace("_", "-"))


def _argument(field: dataclasses.Field[Any], hint: Any) -> dict[str, Any]:
    """Return what ``add_argument`` takes for a field: absent on the command line, it is absent from the result."""
    is_shown = field.default is not None and field.default is not False and field.default != ()
    shown = f" (default: {field.default})" if is_shown else ""
    options: dict[str, Any] = {"help": field.metadata["help"] + shown, "default": argparse.SUPPRESS, "dest": field.name}
    if hint is bool:
        return options | {"action": "store_true"}
    if typing.get_origin(hint) is tuple:  # (Path, ...)
        options["nargs"], hint = "+", typing.get_args(hint)[0]
    union = typing.get_origin(hint) in (Union, types.UnionType)
    (hint,) = [h for h in typing.get_args(hint) if h is not type(None)] if union else [hint]
    if typing.get_origin(hint) is Literal:
        named = {"metavar": field.metadata["metavar"]} if field.metadata["metavar"] else {}
        return options | {"choices": typing.get_args(hint)} | named
    metavar = field.metadata["metavar"] or {Path: "PATH", float: "X", int: "N", str: "TEXT"}[hint]
    return options | {"type": _reader(field.metadata["parse"] or hint), "metavar": metavar}


def _reader(parse: Any) -> Any:
    """Return ``parse`` with a complaint that argparse passes on."""

    def read(text: str) -> Any:
        try:
            return parse(text)
        except (ValueError, SettingsError) as error:
            kind = {int: "a whole number", float: "a number"}.get(parse)
            raise argparse.ArgumentTypeError(f"{text!r} is not {kind}" if kind else str(error)) from error

    return read
