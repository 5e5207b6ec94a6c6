"""Sphinx extension of the documentation: references of commands, facts about tasks, pictures for light and dark pages."""

import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from docutils import nodes
from field_pages import command_list, command_page
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.ext.napoleon import Config, GoogleDocstring
from sphinx.transforms import SphinxTransform
from task_pages import task_facts, task_list

_FIELD = re.compile(r"(?P<verb>\S+) (?P<name>\S.*?): (?P<kind>.*?) = (?P<value>.*)", re.DOTALL)
GENERATED: dict[str, Callable[..., str]] = {
    "command-fields": command_page,
    "command-list": command_list,
    "task-facts": task_facts,
    "task-list": task_list,
}
"""Name of a block in a page -> function of its argument that returns its Markdown."""
_BLOCK = re.compile(rf"^```\{{(?P<name>{'|'.join(GENERATED)})\}} ?(?P<argument>.*)\n```$", re.MULTILINE)
_LIGHT, _DARK = "_light", "_dark"
"""Ends of the names of the two versions of a picture; pages name the light one."""


def insert_generated(app: Sphinx, docname: str, source: list[str]) -> None:
    """Replace each block of `GENERATED` in the Markdown of a page, in place, before it is read."""
    source[0] = _BLOCK.sub(lambda match: GENERATED[match["name"]](*match["argument"].split()), source[0])


def parse_field(env: BuildEnvironment, signature: str, node: addnodes.desc_signature) -> str:
    """Format the signature of a field, and return its name for references: `generate.num_envs`."""
    match = _FIELD.fullmatch(signature)
    assert match is not None, signature
    node += addnodes.desc_name(text=match["name"])
    node += addnodes.desc_annotation("", " = " + match["value"])
    node += nodes.inline("", match["kind"], classes=["field-type"])
    return f"{match['verb']}.{match['name']}"


class LightAndDark(SphinxTransform):
    """Replace each picture `<name>_light.<suffix>` by this picture and its dark version, one of which is visible."""

    default_priority = 200  # before Sphinx collects the pictures

    def apply(self, **options: Any) -> None:
        folder = Path(self.document["source"]).parent
        for image in list(self.document.findall(nodes.image)):
            path = Path(image["uri"])
            dark = path.with_name(path.stem.removesuffix(_LIGHT) + _DARK + path.suffix)
            if path.stem.endswith(_LIGHT) and (folder / dark).is_file():
                other = image.copy()
                other["uri"] = str(dark)
                image["classes"] = [*image["classes"], "only-light"]
                other["classes"] = [*other["classes"], "only-dark"]
                image.parent.insert(image.parent.index(image) + 1, other)


_MOST_FIELDS = 6
"""A dataclass with more fields is shown without its signature."""
_GOOGLE = Config(napoleon_use_ivar=True, napoleon_use_rtype=False)
_SEVERAL_NAMES = re.compile(r"^:ivar (\w+(?:, \w+)+):")
"""Common description of several attributes, whose first name Sphinx would read as a type."""


def read_docstring(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Convert a docstring in Google's style to reStructuredText, in place.

    The extension napoleon cannot be used as it is: it reads the docstring of an attribute up to the first colon as a type.
    """
    if what not in ("attribute", "property"):
        converted = GoogleDocstring(lines, _GOOGLE, None, what, name, value, options).lines()
        lines[:] = [_SEVERAL_NAMES.sub(lambda match: f":ivar {match[1].replace(', ', '/')}:", line) for line in converted]


def shorten_signature(
    app: Sphinx, what: str, name: str, value: Any, options: Any, signature: str, returns: str
) -> tuple[str, str] | None:
    """Omit the signature of a dataclass with many fields, and write defaults from factories so that Sphinx reads them."""
    if what == "class" and is_dataclass(value):
        return ("" if len(fields(value)) > _MOST_FIELDS else signature.replace("<factory>", "..."), returns)
    return None


def write_redirect(app: Sphinx, error: Exception | None) -> None:
    """Write the page of the site's root, which leads to the first page of the documentation."""
    if error is None and app.builder.format == "html":
        text = '<!doctype html><meta http-equiv="refresh" content="0; url=docs/index.html"><title>Documentation</title>\n'
        (Path(app.outdir) / "index.html").write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.add_object_type("field", "field", "pair: %s; field", parse_node=parse_field, objname="configuration field")
    app.connect("source-read", insert_generated)
    app.connect("autodoc-process-docstring", read_docstring)
    app.connect("autodoc-process-signature", shorten_signature)
    app.add_transform(LightAndDark)
    app.connect("build-finished", write_redirect)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
