"""The settings of Sphinx for the book: `make book` reads them."""

from book.reference import code_marked, homes
from fundus_helpers import __version__

project = "Fundus registration"
author = "the authors of this project"
release = version = __version__
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "numpydoc",
    "sphinx_design",
]
default_role = "py:obj"

# Notebooks are shown as they ran.
nb_execution_mode = "off"
nb_ipywidgets_js = {}  # no script from the internet: no page holds a slider
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autodoc_typehints = "none"  # the docstrings say what is accepted, and its units
autodoc_member_order = "bysource"
maximum_signature_line_length = 88
numpydoc_show_class_members = False

html_theme = "pydata_sphinx_theme"
html_title = project
html_static_path = ["static"]
html_css_files = ["book.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_show_copyright = False
html_sidebars = {"index": [], "README": [], "CONTRIBUTING": [], "CHANGELOG": []}
html_theme_options = {
    "header_links_before_dropdown": 7,
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": {"index": [], "**": ["page-toc"]},
    "show_prev_next": True,
    "footer_start": [],
    "footer_end": [],
}

HOMES = homes()


def mark_code(app, what, name, obj, options, lines):
    """Mark the code in a docstring."""
    lines[:] = [code_marked(line) for line in lines]


def find_name(app, env, node, contnode):
    """Lead from a name in a docstring to where it is explained, if one public name is meant."""
    target = node.get("reftarget", "")
    full = target if target.startswith("fundus_helpers") else f".{target}"
    places = {home for name, home in HOMES.items() if name == full or name.endswith(full)}
    if node.get("refdomain") != "py" or len(places) != 1 or places == {target}:
        return None
    python = env.domains["py"]
    return python.resolve_xref(
        env, node["refdoc"], app.builder, "obj", places.pop(), node, contnode
    )


def setup(app):
    """Connect what this file adds to Sphinx."""
    app.connect("autodoc-process-docstring", mark_code, priority=400)
    app.connect("missing-reference", find_name)
