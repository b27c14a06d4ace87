"""How the documentation is built: `make docs`, no network needed."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import eocausal

project = "eocausal"
author = "The eocausal developers"
copyright = "2026, The eocausal developers"
release = version = eocausal.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_parser"]
exclude_patterns = ["_build"]

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings say types, shapes and units
napoleon_google_docstring = False
napoleon_use_ivar = True  # attributes of results are fields of their class, described once

# words in types, such as the k of "length k", are taken for names, of which there are several
suppress_warnings = ["ref.python"]

myst_heading_anchors = 3

html_theme = "pydata_sphinx_theme"
html_title = "eocausal"
html_show_sourcelink = False
html_sidebars = {"**": []}
html_theme_options = {"navigation_with_keys": False, "footer_start": ["copyright"], "footer_end": []}
