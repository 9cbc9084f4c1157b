"""JAXopt as an oracle: it warns when imported, and warnings are errors here."""

import warnings

import pytest


def jaxopt():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("jaxopt")
