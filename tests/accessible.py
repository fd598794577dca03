"""Findings of axe-core, which checks whether everybody can use a page."""

from axe_core_python.selenium import Axe

GRAVE = ("serious", "critical")


def grave_findings(browser):
    """Return the grave findings on the page that a browser shows: rule, and what it is about.

    Axe is a script that the test puts into the page: nothing is fetched.
    """
    found = Axe().run(browser)["violations"]
    return [
        (finding["id"], node["html"])
        for finding in found
        if finding["impact"] in GRAVE
        for node in finding["nodes"]
    ]
