"""Pages: each Jinja2 template is rendered to one HTML file that loads no other files."""

import base64
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isaaclab_mimic_ext.report.charts import printable, rate_color, text_color
from isaaclab_mimic_ext.texts import counted

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

_MIME = {".mp4": "video/mp4", ".png": "image/png"}


def render(template: str, **context: object) -> str:
    """Render a template of `templates/`. All text is escaped unless the template marks it as safe."""
    return printable(_environment().get_template(template).render(**context))


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("isaaclab_mimic_ext.report")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"counted": counted, "drawn": _drawn}
    environment.globals |= {"rate_color": rate_color, "text_color": text_color}
    return environment


def _drawn(chart: str) -> "Markup":
    """A chart in a box that scrolls where the page is narrower than the chart; empty without one."""
    from markupsafe import Markup

    return Markup(f'<div class="wide">{chart}</div>' if chart else "")


def media(*files: tuple[Path, str]) -> list[dict[str, Any]]:
    """Existing videos and pictures with their captions, for the macro `show`."""
    found = ({"url": data_url(path), "caption": caption, "moves": path.suffix == ".mp4"} for path, caption in files)
    return [medium for medium in found if medium["url"]]


def data_url(path: Path) -> str:
    """Content of a video or picture file as a data URL; empty if the file does not exist."""
    if not path.is_file():
        return ""
    return f"data:{_MIME[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"
