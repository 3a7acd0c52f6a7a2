"""The documents agree with the code and with each other."""

import re
import tomllib
from pathlib import Path

import pytest

from accounts.keys import KEY_PATTERN

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
CODE_BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def anchors(page):
    """The anchors of a page's headings, spelled as code hosts spell them."""
    text = CODE_BLOCK.sub("", page.read_text())
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dependencies():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    return sorted(re.match(r"[\w.-]+", requirement)[0] for requirement in wanted)


def explained_dependencies():
    section = (ROOT / "docs/architecture.md").read_text().partition("## Dependencies")[2]
    rows = re.findall(r"^\| (?!package|---)([^|]+) \| [^|]{5,} \|$", section, re.MULTILINE)
    return sorted(name.strip() for row in rows for name in row.split(","))


def pins(lock):
    return set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements" / lock).read_text(), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page):
    links = [link for link in LINK.findall(page.read_text()) if not link.startswith(("http://", "https://"))]
    for link in links:
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), link
        assert not anchor or anchor in anchors(path), link


@pytest.mark.parametrize(
    "name", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "docs/architecture.md", "docs/decisions.md"]
)
def test_the_pages_that_people_look_for_are_there(name):
    assert ROOT / name in PAGES


def test_every_dependency_is_explained_and_no_other():
    assert explained_dependencies() == dependencies()


def test_the_locks_pin_every_dependency_and_the_runtimes_pins_are_in_both():
    assert set(dependencies()) <= pins("dev.txt")
    runtime, dev = ((ROOT / "requirements" / lock).read_text() for lock in ("runtime.txt", "dev.txt"))
    entries = [entry for entry in re.split(r"\n(?=\S)", runtime.strip()) if not entry.startswith("#")]
    assert len(entries) > 40
    assert [entry.split()[0] for entry in entries if entry not in dev] == []


@pytest.mark.parametrize("lock", ["runtime.txt", "dev.txt"])
def test_a_lock_names_no_index_and_every_entry_has_a_hash(lock):
    lines = (ROOT / "requirements" / lock).read_text().splitlines()
    assert [line for line in lines if "://" in line or line.startswith("-") or " /" in line] == []
    entries = [line for line in lines if not line.startswith((" ", "#"))]
    assert len(entries) > 40
    assert [entry for entry in entries if "==" not in entry or not entry.endswith("\\")] == []


def test_the_published_pattern_of_a_key_is_the_one_that_is_used():
    published = re.search(r"`(nbk_[^`]+)`", (ROOT / "SECURITY.md").read_text())[1]
    assert published.replace("(live|test)", "(?:live|test)") == KEY_PATTERN


def test_every_command_of_run_py_is_in_its_help_and_none_besides():
    import run

    commands = set(re.findall(r"^    commands: .*?\n((?:        .*\n)+)", (ROOT / "run.py").read_text(), re.MULTILINE))
    names = {name for block in commands for name in re.findall(r'"(\w+)":', block)} - {"start"}
    assert names == set(re.findall(r"^python3 run\.py (\w+)", run.HELP, re.MULTILINE))
