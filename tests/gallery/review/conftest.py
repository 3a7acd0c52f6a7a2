import pytest

from tests.gallery.review.desk import make_reviewer


@pytest.fixture
def ines(db):
    return make_reviewer("ines")


@pytest.fixture
def omar(db):
    return make_reviewer("omar")


@pytest.fixture
def kim(db):
    return make_reviewer("kim")
