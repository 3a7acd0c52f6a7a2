from tests.upstream.fixtures import elsewhere, make, served_by, upstream

__all__ = ["elsewhere", "make", "served_by", "upstream"]
