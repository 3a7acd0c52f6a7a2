"""Whatever owners, viewers and reviewers do, in whatever order: no picture reaches a state it must not be in."""

import pytest

from gallery.review.steps import EDGES
from tests.gallery.review.walk import Walk

ACTIONS = 400  # the long form is run.py bench review_walk


@pytest.mark.slow
@pytest.mark.django_db
def test_a_random_walk_reaches_no_illegal_state(alice):
    walk = Walk(owner=alice)
    walk.go(ACTIONS)
    assert walk.taken > ACTIONS / 10
    assert walk.refused > ACTIONS / 10
    assert walk.reached == {*EDGES}, "the walk must come everywhere"
