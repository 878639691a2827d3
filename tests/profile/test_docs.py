import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "docs" / "write_profiles.py"


def test_the_page_about_profiles_is_what_the_schema_says():
    spec = importlib.util.spec_from_file_location("write_profiles", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.PAGE.read_text(encoding="utf-8") == script.page(), "run: python docs/write_profiles.py"
