"""Pickles of plain data, read without the power to run anything."""

from __future__ import annotations

import pickletools
from typing import Any

__all__ = ["read_plain_pickle"]

_VALUES = {
    "BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1",
    "BINSTRING", "SHORT_BINSTRING", "STRING",  # Python 2's texts
    "BINUNICODE", "SHORT_BINUNICODE", "UNICODE",
}  # fmt: skip
_PUTS = {"PUT", "BINPUT", "LONG_BINPUT"}
_GETS = {"GET", "BINGET", "LONG_BINGET"}


def read_plain_pickle(data: bytes) -> Any:
    """The dictionaries, lists, texts and integers that a pickle holds.

    Reads the opcodes for these and no others, so there is nothing that could import or call, and no memory is taken
    that the bytes do not fill. Raises ValueError that names what else the pickle asks for, or what is wrong with it.
    """
    stack: list[Any] = []
    marks: list[int] = []  # where on the stack a list's or a dictionary's contents begin
    memo: dict[int, Any] = {}
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "STOP":
                return stack.pop()
            _step(opcode.name, argument, stack, marks, memo)
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"a broken pickle ({error})") from error
    raise ValueError("a pickle without an end")


def _step(name: str, argument: Any, stack: list[Any], marks: list[int], memo: dict[int, Any]) -> None:
    if name in _VALUES:
        stack.append(argument)
    elif name in _GETS:
        stack.append(memo[argument])
    elif name in _PUTS:
        memo[argument] = stack[-1]
    elif name == "MEMOIZE":
        memo[len(memo)] = stack[-1]
    elif name == "MARK":
        marks.append(len(stack))
    elif name in ("EMPTY_LIST", "EMPTY_DICT"):
        stack.append([] if name == "EMPTY_LIST" else {})
    elif name in ("LIST", "DICT"):
        items = _taken(stack, marks.pop())
        stack.append(items if name == "LIST" else _paired(items))
    elif name in ("APPEND", "APPENDS"):
        items = _taken(stack, marks.pop() if name == "APPENDS" else -1)
        stack[-1].extend(items)
    elif name in ("SETITEM", "SETITEMS"):
        items = _taken(stack, marks.pop() if name == "SETITEMS" else -2)
        stack[-1].update(_paired(items))
    elif name not in ("PROTO", "FRAME"):
        wanted = stack[-2:] if name == "STACK_GLOBAL" else argument
        raise ValueError(f"the instruction {name}{'' if wanted is None else f' {wanted!r}'}")


def _taken(stack: list[Any], start: int) -> list[Any]:
    items = stack[start:]
    del stack[start:]
    return items


def _paired(items: list[Any]) -> dict[Any, Any]:
    return dict(zip(items[0::2], items[1::2]))
