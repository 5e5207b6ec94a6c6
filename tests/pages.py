"""Checks of all pages: well-formed, and without links to other files."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree


class Page(HTMLParser):
    """Parser of a page. `found` contains all tags with their attributes, `open` the tags that are not closed."""

    EMPTY = frozenset({"meta", "img", "br", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()


def check_page(page: str) -> Page:
    """Parse a page and check it: tags and charts are well-formed, ids are unique, and no other files are loaded."""
    parser = Page()
    parser.feed(page)
    assert parser.open == []
    for svg in charts_of(page):
        ElementTree.fromstring(svg)
        assert "nan" not in re.sub(r"<title>.*?</title>|<text.*?</text>", "", svg, flags=re.DOTALL)
    for tag, attributes in parser.found:
        assert tag not in ("script", "link", "iframe", "object", "embed")
        assert not any(name.startswith("on") for name in attributes), attributes
        for name in ("src", "href", "xlink:href"):
            assert re.match("data:|#", attributes.get(name) or "#"), attributes[name]
    ids = [attributes["id"] for _, attributes in parser.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert not re.search(r"url\((?!#)", page) and "@import" not in page
    return parser


def charts_of(page: str) -> list[str]:
    return re.findall(r"<svg.*?</svg>", page, re.DOTALL)
