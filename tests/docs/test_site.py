"""The site: every page of docs/ is in its navigation, every link works, and it builds without a network."""

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.pages import DOCS

ROOT = DOCS.parent
HAS_MATERIAL = importlib.util.find_spec("material") is not None

LOADED_FROM_A_HOST = re.compile(r"<(?:script|img|iframe)[^>]* src=\"https?:|<link[^>]*stylesheet[^>]* href=\"https?:")


def entries(navigation: Any) -> Iterator[str]:
    for entry in navigation:
        for value in entry.values():
            yield from (value,) if isinstance(value, str) else entries(value)


def test_the_navigation_has_every_page_once() -> None:
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    assert sorted(entries(settings["nav"])) == sorted(path.name for path in DOCS.glob("*.md"))


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_a_link_to_a_file_leads_to_a_file_and_a_link_to_a_heading_to_a_heading(page: str) -> None:
    text = (DOCS / page).read_text()
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)):
        if link.startswith("https://"):
            continue
        path, _, heading = link.partition("#")
        file = DOCS / path if path else DOCS / page
        assert file.is_file(), link
        if heading:
            assert heading in headings(file), link


def headings(file: Path) -> set[str]:
    """The anchors that Markdown makes of the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", file.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.skipif(not HAS_MATERIAL, reason="mkdocs-material is not installed: pip install -e '.[docs]'")
def test_the_site_builds_strictly_and_loads_nothing_from_another_host(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    for page in tmp_path.glob("*.html"):
        loaded = re.findall(
            r"<(?:script|img|iframe)[^>]* src=\"(https?:[^\"]+)|<link[^>]* href=\"(https?:[^\"]+)", page.read_text()
        )
        assert loaded == [], page.name
    assert not (tmp_path / "repository_links.py").exists()
