"""Tests of the one-line descriptions of exceptions."""

from __future__ import annotations

from typing import Any

import pytest

from lseg_ros.errors import describe_error


def catch(call: Any, *arguments: Any) -> Exception:
    with pytest.raises(Exception) as caught:
        call(*arguments)
    return caught.value


def fail(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("kind", [ValueError, OSError, RuntimeError, ImportError, UnicodeError])
def test_messages_for_users_are_kept(kind: type[Exception]) -> None:
    assert describe_error(catch(fail, kind("labels: expected one, got none"))) == "labels: expected one, got none"


def test_several_lines_become_one() -> None:
    assert describe_error(catch(fail, RuntimeError("size mismatch:\n\tcopying\n  a"))) == "size mismatch: copying a"


def test_control_sequences_are_escaped() -> None:
    error = ValueError("expected rgb8, got '\x1b[31m\r[FATAL]'")
    assert describe_error(error) == r"expected rgb8, got '\x1b[31m [FATAL]'"


def test_other_exceptions_are_named_with_the_line_that_raised_them() -> None:
    line = fail.__code__.co_firstlineno + 1
    assert describe_error(catch(fail, KeyError("width"))) == f"KeyError: 'width' (test_errors.py, line {line})"
    assert describe_error(catch(fail, ValueError())) == f"ValueError (test_errors.py, line {line})"


def test_an_exception_that_was_not_raised_has_no_place() -> None:
    assert describe_error(MemoryError()) == "MemoryError"
