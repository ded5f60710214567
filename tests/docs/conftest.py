"""Reads the pages: fenced blocks, links, tables."""

import re
from pathlib import Path

import pytest
from attrs import frozen

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)


@frozen
class Block:
    page: Path
    number: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}[{self.number}]"


def blocks(page, language=None):
    found = [
        Block(page, number, one["language"], one["text"])
        for number, one in enumerate(FENCE.finditer(page.read_text(encoding="utf-8")), 1)
    ]
    return [one for one in found if language in (None, one.language)]


def all_blocks(language):
    return [one for page in PAGES for one in blocks(page, language)]


def pytest_generate_tests(metafunc):
    """A parameter named `<language>_block` runs over every block of that language, `page` over every page."""
    for language in ("bash", "python", "toml"):
        if (name := f"{language}_block") in metafunc.fixturenames:
            metafunc.parametrize(name, all_blocks(language), ids=str)
    if "page" in metafunc.fixturenames:
        metafunc.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@pytest.fixture
def root():
    return ROOT


@pytest.fixture
def read_blocks():
    return blocks


@pytest.fixture
def pages():
    return PAGES
