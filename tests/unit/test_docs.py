"""Pages of the documentation: complete references, names and messages that exist, links to files that exist."""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

import isaaclab_mimic_ext as mimic
from isaaclab_mimic_ext.config import SCRIPT_SCHEMAS, SCRIPT_VERBS
from isaaclab_mimic_ext.config.help import field_docs
from isaaclab_mimic_ext.config.help_text import leaves_of

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md"), ROOT / "docker" / "README.md"])
SITE = DOCS / "site"


@pytest.fixture(scope="module")
def site() -> Iterator[Any]:
    """Modules of the documentation that need no Sphinx."""
    sys.path.insert(0, str(SITE))
    try:
        import field_pages
        import task_pages

        yield field_pages, task_pages
    finally:
        sys.path.remove(str(SITE))


def schemas_in(kind: Any) -> Iterator[type]:
    """Yield all dataclasses in a type, also those of items."""
    if is_dataclass(kind) and isinstance(kind, type):
        yield kind
        for hint in get_type_hints(kind).values():
            yield from schemas_in(hint)
    for argument in get_args(kind):
        yield from schemas_in(argument)


def test_every_field_of_every_command_has_a_description() -> None:
    kinds = {kind for schema in SCRIPT_SCHEMAS.values() for kind in schemas_in(schema)}
    kinds |= {mimic.LeRobotOptions, mimic.ImportOptions, mimic.PrepareOptions}
    assert len(kinds) > 30
    missing = [
        f"{kind.__name__}.{field.name}"
        for kind in kinds
        for field in fields(kind)
        if not field_docs(kind).get(field.name)
        and not (is_dataclass(get_type_hints(kind)[field.name]) and get_type_hints(kind)[field.name].__doc__)
        and not re.search(rf"^ +(\w+, )*{field.name}(, \w+)*: ", kind.__doc__ or "", re.MULTILINE)
    ]
    assert missing == []


@pytest.mark.parametrize("verb", SCRIPT_VERBS.values())
def test_reference_of_a_command_has_every_field(verb: str, site: Any) -> None:
    assert f"```{{command-fields}} {verb}\n```" in (DOCS / "reference" / f"{verb}.md").read_text()
    assert re.search(rf"^{verb}$", (DOCS / "reference" / "index.md").read_text(), re.MULTILINE)
    page = site[0].command_page(verb)
    schema = SCRIPT_SCHEMAS[site[0].SCRIPTS[verb]]
    for leaf in leaves_of(schema):
        shown = "task" if leaf.name == "task.name" else leaf.shown
        assert f":::{{field}} {verb} {shown}: " in page
        assert leaf.text in page


def test_reference_contains_defaults_of_the_configuration_files_and_fields_of_items(site: Any) -> None:
    page = site[0].command_page("generate")
    assert ":::{field} generate num_video_demos: integer = 6\n" in page
    assert ":::{field} generate subtask_configs.action_noise: any = 0.03\n" in page
    assert ":::{field} generate generation_num_trials: integer = 100\n" in page
    assert "Short name: `num_trials`." in page


def test_every_included_task_has_a_page_with_its_facts(site: Any) -> None:
    by_task = site[1].presets()
    assert sorted(name for names in by_task.values() for name in names) == sorted(
        {path.stem for path in (ROOT / "conf" / "task").glob("*.yaml")} - {"isaaclab"}
    )
    for name in by_task:
        assert f"```{{task-facts}} {name}\n```" in (DOCS / "tasks" / f"{name}.md").read_text()


@pytest.mark.parametrize("name", ["stack_cube", "two_arm_lift_tray", "desktop_organizer_cluttered"])
def test_facts_of_a_task_name_its_objects_signals_reasons_and_presets(name: str, site: Any) -> None:
    task, facts = mimic.load_task(name), site[1].task_facts(name)
    for word in (*task.object_names, *task.signal_names, *task.eef_names, *site[1].presets()[name]):
        assert f"`{word}`" in facts or f"`task={word}`" in facts
    for reason in task.failure_reasons:
        assert f"*{reason.name}*" in facts
    for picture in re.findall(r"!\[.*\]\(\.\./(.*)\)", facts):
        assert (DOCS / picture).is_file()


def test_api_reference_documents_exactly_the_public_names() -> None:
    documented = re.findall(r"^\.\. auto\w+:: isaaclab_mimic_ext\.(\w+)$", (DOCS / "api.md").read_text(), re.MULTILINE)
    assert sorted(documented) == sorted(mimic.__all__)


def test_public_names_in_pages_exist() -> None:
    named = {name for page in PAGES for name in re.findall(r"\bmimic\.([A-Za-z_]+)\b(?=[(`])", page.read_text())}
    assert len(named) > 5
    assert sorted(named - {*mimic.__all__}) == []


def test_links_and_pictures_of_pages_lead_to_files() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in PAGES
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
        if "://" not in link and not (page.parent / link).exists()
    ]
    assert broken == []


def test_pages_that_messages_and_comments_name_exist() -> None:
    sources = [
        path for folder in ("isaaclab_mimic_ext", "tasks", "scripts", "conf") for path in (ROOT / folder).rglob("*.*")
    ]
    named = {
        name
        for path in sources
        if path.suffix in (".py", ".yaml", ".html")
        for name in re.findall(r"\bdocs/[\w/]+\.md\b", path.read_text())
    }
    assert named and [name for name in sorted(named) if not (ROOT / name).is_file()] == []


def test_messages_in_the_troubleshooting_page_exist_in_the_code() -> None:
    page = (DOCS / "troubleshooting.md").read_text()
    shown = [cell for cell in re.findall(r"^\| `([^`|]+)` \|", page, re.MULTILINE) if cell != "mimic: command not found"]
    assert len(shown) > 30
    texts = "\n".join([*_texts_of(ROOT / "isaaclab_mimic_ext"), (ROOT / "Makefile").read_text()])
    missing = [
        message for message in shown if not all(part.strip("'") in texts for part in re.split(r"\s*'?\.\.\.'?\s*", message))
    ]
    assert missing == []


def _texts_of(folder: Path) -> Iterator[str]:
    """Yield all texts in the code; `...` stands for the values in them."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else "..." for part in node.values)
                yield "".join(map(str, parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
