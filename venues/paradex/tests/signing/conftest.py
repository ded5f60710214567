"""Vectors and the reference library for the signing tests."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def sdk_vectors() -> dict[str, Any]:
    """What the venue's own SDK signed (see ORIGIN.md)."""
    return json.loads((TESTS / "data" / "signing_vectors.json").read_text())


@pytest.fixture(scope="session")
def stark_vectors() -> dict[str, Any]:
    """What starknet-py signed."""
    return json.loads((TESTS / "data" / "stark_vectors_2000.json").read_text())


@pytest.fixture(scope="session")
def reference() -> ModuleType:
    """The script that writes the vectors, for fresh ones."""
    spec = importlib.util.spec_from_file_location("make_vectors", TESTS / "make_vectors.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
