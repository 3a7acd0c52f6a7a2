"""Pictures that an upstream answers with as an address: not fetched, unless the operator names their host."""

import socket

import pytest

from generations.models import Status
from generations.providers import links
from generations.providers.links import LinkRefused, fetch_link
from tests.upstream import chat
from tests.upstream.pictures import png

URL = "https://pictures.example/fox.png"


@pytest.fixture
def allowed(settings, monkeypatch):
    """pictures.example is named by the operator and has a public address."""
    settings.UPSTREAM_LINK_HOSTS = ["pictures.example"]

    def resolve_to(*addresses):
        rows = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: rows)

    resolve_to("93.184.216.34")
    return resolve_to


@pytest.mark.parametrize(
    "url",
    [
        "http://pictures.example/fox.png",
        "https://elsewhere.example/fox.png",
        "https://pictures.example.evil.example/",
        "https://user:secret@pictures.example/",
        "https://pictures.example:x/",
        "ftp://pictures.example/",
        "file:///etc/passwd",
        "https://",
    ],
)
def test_an_address_of_another_kind_is_refused_before_anything_is_asked(url, allowed, tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: pytest.fail("a name was looked up"))
    with pytest.raises(LinkRefused):
        fetch_link(url, tmp_path / "picture")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.8",
        "192.168.1.1",
        "169.254.169.254",
        "0.0.0.0",
        "::1",
        "fd00::1",
        "::ffff:127.0.0.1",
        "224.0.0.1",
    ],
)
def test_a_name_that_points_into_our_network_is_refused(address, allowed, tmp_path):
    allowed("93.184.216.34", address)
    with pytest.raises(LinkRefused, match="private network"):
        fetch_link(URL, tmp_path / "picture")


def test_nothing_is_fetched_by_default(tmp_path, settings):
    assert settings.UPSTREAM_LINK_HOSTS == []
    with pytest.raises(LinkRefused, match="UPSTREAM_LINK_HOSTS"):
        fetch_link(URL, tmp_path / "picture")


@pytest.mark.django_db(transaction=True)
def test_a_picture_from_a_named_host_is_verified_like_any_other(alice, served_by, make, settings, monkeypatch):
    settings.UPSTREAM_LINK_HOSTS = ["pictures.example"]
    asked = []

    def fetch(url, path):
        asked.append(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png())

    monkeypatch.setattr("generations.reading.fetch_link", fetch)
    served_by("chat").answers(chat.by_address(URL))
    generation = make()
    assert generation.status == Status.SUCCEEDED
    assert asked == [URL]


@pytest.mark.django_db(transaction=True)
def test_a_picture_that_cannot_be_fetched_costs_nothing(alice, served_by, make, settings):
    settings.UPSTREAM_LINK_HOSTS = ["pictures.example"]
    upstream = served_by("chat")
    upstream.answers(chat.by_address("https://elsewhere.example/fox.png"))
    generation = make()
    assert (generation.status, generation.error_code) == (Status.FAILED, "text_only")
    assert generation.charged_micros == 0
    assert len(upstream.requests) == 1


def test_redirects_and_long_bodies_are_not_followed(allowed, tmp_path, monkeypatch):
    class Answer:
        def __init__(self, status, body):
            self.status, self.body = status, body

        def read(self, size, decode_content):
            chunk, self.body = self.body[:size], self.body[size:]
            return chunk

    seen = []

    def urlopen(pool, method, target, **options):
        seen.append((pool.host, pool.port, target, options["headers"]["Host"], options["redirect"]))
        return answers.pop(0)

    monkeypatch.setattr(links.urllib3.HTTPSConnectionPool, "urlopen", urlopen)
    answers = [Answer(302, b""), Answer(200, b"x" * (links.MAX_BYTES + 1)), Answer(200, png())]
    for words in ("answered 302", "longer than"):
        with pytest.raises(LinkRefused, match=words):
            fetch_link(URL + "?size=1", tmp_path / "picture")
        assert not (tmp_path / "picture").exists()
    fetch_link(URL + "?size=1", tmp_path / "picture")
    assert (tmp_path / "picture").read_bytes() == png()
    # The address that was checked is the one that is asked, whatever the name means a moment later.
    assert set(seen) == {("93.184.216.34", 443, "/fox.png?size=1", "pictures.example", False)}
