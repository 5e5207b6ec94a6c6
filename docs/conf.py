"""Sphinx's configuration of the documentation: `make docs`.

The source folder is the root of the repository, so that links between README, docs/ and the project's pages are the same
on the site and on a code host.
"""

import sys
from pathlib import Path

from isaaclab_mimic_ext import __version__

sys.path.insert(0, str(Path(__file__).parent / "site"))

project = "isaaclab_mimic_ext"
author = "The isaaclab_mimic_ext developers"
project_copyright = author
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
    "sphinx_design",
    "extension",  # docs/site/extension.py: pages from the schema and from the tasks, pictures for light and dark
]
root_doc = "docs/index"
include_patterns = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "docker/README.md", "docs/**.md"]
exclude_patterns = [
    ".*",
    "build",
    "dist",
    "datasets",
    "logs",
    "*.egg-info",
    "tests",
    "isaaclab_mimic_ext",
    "conf",
    "scripts",
]

# Strict: a broken link, a missing anchor and an unknown API name are warnings, and `make docs` fails on warnings.
nitpicky = True
nitpick_ignore_regex = [
    # Other packages: their inventories would have to be downloaded.
    (
        "py:.*",
        r"(torch|numpy|np|mujoco|gymnasium|pathlib|collections|argparse|omegaconf|logging|typing|h5py|enum|abc|os)\..*",
    ),
    # Configurations of commands, which the reference of each command describes, and the contents of checkpoints.
    ("py:.*", r"isaaclab_mimic_ext\.(config\.commands|learn\.checkpoint|task\.robot)\..*"),
    ("py:.*", r"(Tensor|Path|Any|Callable|Mapping|Sequence|Iterator|optional|NestedTensors|ndarray)"),
]

# `make docs-links`
linkcheck_timeout = 20
linkcheck_retries = 2

myst_enable_extensions = ["attrs_block", "attrs_inline", "colon_fence", "deflist"]
myst_heading_anchors = 4
myst_links_external_new_tab = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
add_module_names = False
default_role = "code"  # Docstrings write code in single backticks.

html_theme = "furo"
html_title = "isaaclab_mimic_ext"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b6e4f", "color-brand-content": "#0b6e4f"},
    "dark_css_variables": {"color-brand-primary": "#5fd0a5", "color-brand-content": "#5fd0a5"},
}
highlight_language = "text"  # blocks without a language are trees of files and output
pygments_style = "friendly"
pygments_dark_style = "github-dark"
copybutton_exclude = ".linenos, .gp, .go"
