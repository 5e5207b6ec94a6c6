"""Files of the studio's page that are not ours, and modules that each tab needs."""

import hashlib
import re
from pathlib import Path

STATIC = Path(__file__).resolve().parents[2] / "isaaclab_mimic_ext" / "studio" / "static"
THREE_DIGEST = "5e32e1872f73df2eb16c9d6762591c54092e7e3c6ca81fea6cfad6e79d56a379"


def test_bundled_three_js_is_the_one_of_the_documented_line() -> None:
    assert hashlib.sha256((STATIC / "vendor" / "three.js").read_bytes()).hexdigest() == THREE_DIGEST
    assert "MIT License" in (STATIC / "vendor" / "three_LICENSE.txt").read_text()
    assert "npx esbuild" in (STATIC / "vendor" / "README.md").read_text()


def test_modules_import_only_modules_that_are_served() -> None:
    for path in STATIC.glob("*.js"):
        for name in re.findall(r'from "([^"]+)"', path.read_text()):
            assert (STATIC.parent / name.removeprefix("/")).is_file(), f"{path.name} imports {name}"


def test_page_uses_names_of_three_js_that_are_bundled() -> None:
    bundled = set(re.findall(r"\w+", (STATIC / "vendor" / "three_entry.js").read_text()))
    for path in STATIC.glob("*.js"):
        used = set(re.findall(r"\bthree\.([A-Z]\w+)", path.read_text()))
        assert used <= bundled, f"{path.name}: add to vendor/three_entry.js, and bundle it again"
