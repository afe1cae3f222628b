"""Every fixture gets exactly the causes, the verdict and the places that its recipe's head says."""

import os
import re

import pytest

from fixtures import RECIPES, label, make, outcome, unavailable
from reprodiff.app import diff
from reprodiff.budget import Budget


@pytest.mark.parametrize("recipe", RECIPES, ids=label)
def test_report_says_what_was_varied(recipe, tmp_path):
    if recipe.dynamic:
        if reason := unavailable(recipe):
            pytest.skip(reason)
        report = diff(*map(os.fspath, make(recipe, tmp_path)), Budget()).report
    else:
        report = outcome(recipe).report
    named = {cause["id"] for cause in report["causes"]}
    assert set(recipe.varied) <= named <= {*recipe.varied, *recipe.may}
    assert report["verdict"] == recipe.expect
    paths = [item["path"] for item in report["unexplained"]]
    for pattern in recipe.unexplained:
        assert any(re.search(pattern, path) for path in paths), paths
    for path in paths:
        assert any(re.search(pattern, path) for pattern in recipe.unexplained), path
