"""deploy/nginx.conf in a real nginx: private bytes by its own checks, public ones, and they alone, from its cache."""

import os
import re
import shutil
import socket
import subprocess
import time
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from django.conf import settings as django_settings
from django.test import Client

from gallery import addresses, delivery, public_views
from gallery.addresses import public_copies
from gallery.renditions import make_eager
from gallery.review import owners
from tests.gallery.pictures import encode_picture, keep_image
from tests.gallery.published import publish_picture

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
KEY = "0123456789abcdef0123456789abcdef"
DATA = encode_picture("png", size=(400, 200))
PATIENCE_S = 10

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed"),
]


@pytest.fixture
def nginx(live_server, settings, tmp_path):
    """The address of an nginx with our configuration, its six lines changed, in front of this process."""
    settings.REVIEW_MODE = "post"
    settings.MEDIA_ACCEL_REDIRECT = "/internal-media"
    settings.SECURE_LINK_KEY = KEY
    settings.ALLOWED_HOSTS = ["127.0.0.1", "testserver"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    text = (django_settings.BASE_DIR / "deploy/nginx.conf").read_text()
    changes = {
        "/var/cache/nginx/plantain": str(tmp_path / "cache"),
        "127.0.0.1:8000": urlsplit(live_server.url).netloc,
        "listen 8080": f"listen 127.0.0.1:{port}",
        "change-me-32-letters-and-digits!": KEY,
        "/srv/plantain/var/media/": f"{settings.MEDIA_ROOT}/",
        "/etc/nginx/mime.types": str(tmp_path / "mime.types"),
    }
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "mime.types").write_text("types { image/png png; image/jpeg jpg; video/mp4 mp4; }")
    paths = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    text = text.replace("http {", f"http {{ access_log off; {paths}", 1)
    conf = tmp_path / "nginx.conf"
    conf.write_text(text)
    user = "user root;" if os.geteuid() == 0 else ""  # to read the directory of this test
    server = subprocess.Popen(
        [NGINX, "-c", conf, "-p", tmp_path, "-e", "stderr", "-g", f"daemon off; pid {tmp_path}/nginx.pid; {user}"],
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            if server.poll() is not None or time.monotonic() > until:
                server.kill()
                pytest.fail(f"nginx did not start: {server.communicate()[1]}")
            time.sleep(0.02)
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.communicate(timeout=PATIENCE_S)


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def kept_in_cache(tmp_path: Path) -> str:
    """The addresses of all that nginx has kept."""
    names = set()
    for path in (tmp_path / "cache").rglob("*"):
        if path.is_file():
            names |= set(re.findall(rb"KEY: (\S+)", path.read_bytes()))
    return b" ".join(sorted(names)).decode()


def test_private_files_are_sent_by_nginx_and_never_kept(nginx, alice, alice_key, bob_key, settings, tmp_path):
    image = keep_image(alice, settings.SPOOL_DIR, DATA)
    path = f"{nginx}/api/v1/images/{image.public_id}/file"
    answer = requests.get(path, headers=bearer(alice_key), timeout=10)
    assert answer.content == DATA
    assert answer.headers["ETag"] == f'"{image.blob.sha256}"'
    assert answer.headers["Cache-Control"] == "private, max-age=300"
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Vary"] == "Authorization, Cookie, x-goog-api-key"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert answer.headers["Content-Disposition"] == f'inline; filename="plantain-{image.public_id.hex[:8]}.png"'
    part = requests.get(path, headers=bearer(alice_key) | {"Range": "bytes=4-7"}, timeout=10)
    assert (part.status_code, part.content) == (HTTPStatus.PARTIAL_CONTENT, DATA[4:8])
    known = requests.get(path, headers=bearer(alice_key) | {"If-None-Match": answer.headers["ETag"]}, timeout=10)
    assert known.status_code == HTTPStatus.NOT_MODIFIED
    assert requests.get(path, headers=bearer(bob_key), timeout=10).status_code == HTTPStatus.NOT_FOUND
    assert requests.get(f"{nginx}/internal-media/{image.blob.storage_name}", timeout=10).status_code == 404
    assert kept_in_cache(tmp_path) == ""


def test_nginx_alone_checks_signed_addresses(nginx, alice, alice_key, bob_key, settings, tmp_path, monkeypatch):
    settings.SIGNED_ADDRESSES = "nginx"
    image = keep_image(alice, settings.SPOOL_DIR, DATA)
    session = Client()
    session.force_login(alice)
    cookie = {"Cookie": f"theme=dark; sessionid={session.cookies['sessionid'].value}; other=1"}
    stable = f"{nginx}/api/v1/images/{image.public_id}/file?download=1"
    addresses_by_credential = []
    for headers in (bearer(alice_key), {"x-goog-api-key": alice_key}, cookie):
        found = requests.get(stable, headers=headers, timeout=10, allow_redirects=False)
        assert found.status_code == HTTPStatus.FOUND
        address = nginx + found.headers["Location"]
        addresses_by_credential.append(address)
        answer = requests.get(address, headers=headers, timeout=10)
        assert answer.content == DATA
        assert answer.headers["Content-Disposition"].startswith("attachment; filename=")
        assert answer.headers["ETag"] == f'"{image.blob.sha256}"'
        assert answer.headers["Cache-Control"] == "private, max-age=300"
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
        known = requests.get(address, headers=headers | {"If-None-Match": answer.headers["ETag"]}, timeout=10)
        assert known.status_code == HTTPStatus.NOT_MODIFIED
    address = addresses_by_credential[0]
    for headers in ({}, bearer(bob_key), cookie):
        assert requests.get(address, headers=headers, timeout=10).status_code == HTTPStatus.NOT_FOUND
    for changed in (
        address.replace("d=1", "d=0"),
        address.replace(f"t={image.blob.sha256}", f"t={'0' * 64}"),
        re.sub(r"e=\d+", "e=99999999999", address),
        address.replace("/originals/", "/originals/../"),
    ):
        assert changed != address
        assert requests.get(changed, headers=bearer(alice_key), timeout=10).status_code == HTTPStatus.NOT_FOUND
    monkeypatch.setattr(delivery, "SIGNED_S", -1)  # one that is over already
    late = requests.get(stable, headers=bearer(alice_key), timeout=10, allow_redirects=False).headers["Location"]
    assert requests.get(nginx + late, headers=bearer(alice_key), timeout=10).status_code == HTTPStatus.NOT_FOUND
    assert kept_in_cache(tmp_path) == ""


def test_public_copies_come_from_the_cache_and_leave_it_in_time(
    nginx, alice, alice_key, settings, tmp_path, monkeypatch
):
    image = publish_picture(alice, settings.SPOOL_DIR)
    make_eager(image.blob)
    asked = []
    find = addresses.find_public
    monkeypatch.setattr(addresses, "find_public", lambda *names: asked.append(names) or find(*names))
    address = nginx + public_copies([image])[image.pk]["320"]
    first = requests.get(address, headers=bearer(alice_key) | {"Cookie": "sessionid=x"}, timeout=10)
    second = requests.get(address, timeout=10)
    part = requests.get(address, headers={"Range": "bytes=0-3"}, timeout=10)
    known = requests.get(address, headers={"If-None-Match": first.headers["ETag"]}, timeout=10)
    assert [answer.headers["X-Cache"] for answer in (first, second, part, known)] == ["MISS", "HIT", "HIT", "HIT"]
    assert (second.content, second.headers["Cache-Control"]) == (first.content, delivery.PUBLIC)
    assert (part.status_code, part.content, known.status_code) == (206, b"RIFF", 304)
    assert len(asked) == 1

    # The same with a second in place of the minute: what is withdrawn stops at once here, and in the cache in time.
    short = delivery.PUBLIC.replace("s-maxage=60", "s-maxage=1")
    monkeypatch.setattr(delivery, "PUBLIC", short)
    monkeypatch.setattr(public_views, "PUBLIC", short)
    brief = nginx + public_copies([image])[image.pk]["640"]
    assert requests.get(brief, timeout=10).headers["X-Cache"] == "MISS"
    owners.withdraw(owner=alice, public_id=image.public_id)
    assert Client().get(urlsplit(brief).path).status_code == HTTPStatus.NOT_FOUND
    until = time.monotonic() + PATIENCE_S
    while requests.get(brief, timeout=10).status_code != HTTPStatus.NOT_FOUND:
        assert time.monotonic() < until
        time.sleep(0.1)

    for path in ("/", "/gallery/", f"/api/v1/images/{image.public_id}", f"/api/v1/images/{image.public_id}/file"):
        requests.get(nginx + path, headers=bearer(alice_key), timeout=10)
    assert kept_in_cache(tmp_path) == " ".join(sorted(urlsplit(each).path for each in (address, brief)))
