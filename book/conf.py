"""The settings of Sphinx for the book: `make book` reads them."""

import inspect
import re
from typing import Annotated, get_origin

from docutils import nodes
from sphinx.util import logging

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

autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
autodoc_preserve_defaults = True  # as they are written, so no folder of this machine is told
autodoc_member_order = "bysource"
maximum_signature_line_length = 88
numpydoc_show_class_members = False

html_theme = "pydata_sphinx_theme"
html_title = project
html_context = {"default_mode": "auto"}
html_static_path = ["static"]
html_css_files = ["book.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_show_search_summary = False  # it would fetch every page, which a browser forbids from disk
html_show_copyright = False
html_sidebars = {"index": [], "README": [], "CONTRIBUTING": [], "CHANGELOG": []}
html_theme_options = {
    "header_links_before_dropdown": 7,
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": True,
    "footer_start": [],
    "footer_end": [],
}

LOGGER = logging.getLogger(__name__)
HOMES = homes()
# A signature of several lines.
PARAMETERS = re.compile(r'<dl>\n((?:<dd><em class="sig-param">.*</em>,?</dd>\n)+)</dl>')


def leave_out_ranges(app, obj, bound_method):
    """Show the type of a knob in the signature. Its docstring tells what it accepts."""
    function = getattr(obj, "__func__", obj)
    if inspect.isfunction(function):
        function.__annotations__ = {
            name: getattr(kind, "__origin__", kind) if get_origin(kind) is Annotated else kind
            for name, kind in function.__annotations__.items()
        }


def mark_code(app, what, name, obj, options, lines):
    """Mark the code in a docstring."""
    lines[:] = [code_marked(line) for line in lines]


def find_name(app, env, node, contnode):
    """Lead from a name in a docstring to where it is explained, if one public name is meant."""
    target = node.get("reftarget", "")
    full = target if target.startswith("fundus_helpers") else f".{target}"
    places = {home for name, home in HOMES.items() if name == full or name.endswith(full)}
    if node.get("refdomain") != "py" or len(places) != 1 or places == {target}:
        if target.startswith("fundus_helpers.") and node["reftype"] == "obj":  # no type hint
            LOGGER.warning("%s is explained nowhere", target, location=node)
        return None
    python = env.domains["py"]
    return python.resolve_xref(
        env, node["refdoc"], app.builder, "obj", places.pop(), node, contnode
    )


def open_pictures(app, doctree, docname):
    """Let a click on a figure of a notebook open it in its full size."""
    if not docname.startswith("notebooks/"):
        return
    up = "../" * docname.count("/")
    for picture in list(doctree.findall(nodes.image)):
        name = app.env.images[picture["uri"]][1]
        link = nodes.reference("", "", refuri=f"{up}{app.builder.imagedir}/{name}")
        picture.replace_self(link)
        link += picture


def list_parameters(app, pagename, templatename, context, doctree):
    """Write parameters as a list: Sphinx writes definitions without terms, which are no list."""

    def listed(found):
        lines = found[1].replace("<dd>", "<li>").replace("</dd>", "</li>")
        return f'<ul class="parameters">\n{lines}</ul>'

    if "body" in context:
        context["body"] = PARAMETERS.sub(listed, context["body"])


def setup(app):
    """Connect what this file adds to Sphinx."""
    app.connect("autodoc-before-process-signature", leave_out_ranges)
    app.connect("autodoc-process-docstring", mark_code, priority=400)
    app.connect("missing-reference", find_name)
    app.connect("doctree-resolved", open_pictures)
    app.connect("html-page-context", list_parameters)
