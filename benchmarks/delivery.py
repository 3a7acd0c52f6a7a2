"""Public copies and private files behind nginx: run.py bench delivery [--seconds 4] [--rounds 3]

P12 of the targets, as ratios inside one run: a public copy against the same file that nginx sends from a directory of
its own; a private original by a signed address that nginx checks, and by the stable one, where Django checks.
deploy/nginx.conf is what runs, in front of an instance of its own. Exit 1 when an answer was wrong, or when nginx
needed Python for what it is to check alone. Needs nginx, and ab (apache2-utils).
"""

import argparse
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import django
import requests

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.conf import settings  # noqa: E402

from tests.contract.live import Instance, free_port, instance  # noqa: E402

KEY = "0123456789abcdef0123456789abcdef"
CLIENTS = 16
START_S = 10
SEARCHED = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"


@contextmanager
def nginx(directory: Path, live: Instance) -> Iterator[str]:
    """The address of an nginx with our configuration; `/plain/` are the same files without anything before them."""
    program = shutil.which("nginx", path=SEARCHED)
    if program is None:
        sys.exit("This needs nginx.")
    port, media = free_port(), f"{directory}/media/"
    text = (settings.BASE_DIR / "deploy/nginx.conf").read_text()
    paths = "".join(
        f"{kind}_temp_path {directory}/nginx-{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    for old, new in {
        "/var/cache/nginx/plantain": f"{directory}/nginx-cache",
        "127.0.0.1:8000": urlsplit(live.url).netloc,
        "listen 8080": f"listen 127.0.0.1:{port}",
        "change-me-32-letters-and-digits!": KEY,
        "/srv/plantain/var/media/": media,
        "location / {": f"location /plain/ {{ alias {media}; }} location / {{",
        "http {": f"http {{ access_log off; {paths}",
    }.items():
        text = text.replace(old, new, 1) if old in ("location / {", "http {") else text.replace(old, new)
    conf = directory / "nginx.conf"
    conf.write_text(text)
    user = "user root;" if os.geteuid() == 0 else ""  # to read a directory of root's
    command = [program, "-c", conf, "-p", directory, "-e", "stderr", "-g"]
    server = subprocess.Popen([*command, f"daemon off; pid {directory}/nginx.pid; {user}"])
    try:
        until = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > until:
                    sys.exit("nginx did not start.")
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=START_S)


def rate(address: str, seconds: float, *, key: str = "") -> float:
    """Requests a second by CLIENTS connections that are kept; ends the run when one of them was answered wrongly."""
    headers = ["-H", f"Authorization: {key}"] if key else []
    limits = ["-k", "-c", str(CLIENTS), "-t", str(seconds), "-n", "1000000"]
    done = subprocess.run(["ab", "-q", *limits, *headers, address], capture_output=True, text=True, check=False)
    if done.returncode or "Non-2xx" in done.stdout or not re.search(r"Failed requests:\s+0\b", done.stdout):
        sys.exit(f"{address}\n{done.stdout}{done.stderr}")
    found = re.search(r"Requests per second:\s+([\d.]+)", done.stdout)
    assert found is not None
    return float(found[1])


def publish(live: Instance, session: requests.Session) -> dict[str, str]:
    """The addresses of one picture: of a public copy, of the stable one, and the names of both files."""
    body = {"prompt": "a picture to be fetched", "image_size": "1K"}
    headers = {"Prefer": "wait=60"}
    image = session.post(f"{live.api}/generations", json=body, headers=headers, timeout=90).json()["images"][0]
    session.patch(f"{live.api}/images/{image['id']}", json={"alt_text": "A picture."}, timeout=30).raise_for_status()
    wish = {"visibility": "public"}
    session.post(f"{live.api}/images/{image['id']}/publish", json=wish, timeout=30).raise_for_status()
    made = requests.get(f"{live.api}/gallery", timeout=30).json()["results"][0]["thumbnails"]["640"]
    copy = requests.get(made, timeout=30)
    copy.raise_for_status()
    sha256 = image["sha256"]
    media = live.data_dir / "media"
    small = next(path for path in (media / "renditions").rglob(f"{sha256}-640-*") if path.is_file())
    original = next(path for path in (media / "originals").rglob(f"{sha256}.*") if path.is_file())
    return {
        "public": urlsplit(copy.url).path,
        "private": f"/api/v1/images/{image['id']}/file",
        "copy": str(small.relative_to(media)),
        "original": str(original.relative_to(media)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if shutil.which("ab") is None:
        sys.exit("This needs ab, of Debian's apache2-utils.")
    needed = 0
    rates: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        environment = {
            "REVIEW_MODE": "post",
            "MEDIA_ACCEL_REDIRECT": "/internal-media",
            "SIGNED_ADDRESSES": "nginx",
            "SECURE_LINK_KEY": KEY,
            "ALLOWED_HOSTS": "127.0.0.1",
        }
        with instance(directory, **environment) as live, nginx(directory, live) as front:
            session = live.account()
            key = str(session.headers["Authorization"])
            at = publish(live, session)
            answer = session.get(front + at["private"], allow_redirects=False, timeout=30)
            signed = front + answer.headers["Location"]
            print(f"load {os.getloadavg()[0]:.1f}; {CLIENTS} clients, {options.rounds} x {options.seconds} s each")
            runs = {
                "public copy, nginx alone": (f"{front}/plain/{at['copy']}", ""),
                "public copy, kept by nginx": (front + at["public"], ""),
                "original, nginx alone": (f"{front}/plain/{at['original']}", ""),
                "private original, signed, nginx checks": (signed, key),
            }
            for _ in range(options.rounds):
                for what, (address, credentials) in runs.items():
                    rates.setdefault(what, []).append(rate(address, options.seconds, key=credentials))
            # By the stable address Django would only lead to a signed one: it sends the bytes by way of nginx now.
            live.web.terminate()  # type: ignore[union-attr]
            live.web.wait(timeout=90)  # type: ignore[union-attr]
            probe = requests.get(signed, headers={"Authorization": key}, timeout=30)
            needed = int(probe.status_code != requests.codes.ok)
            print(f"with Python stopped, the signed address answers {probe.status_code}")
            live.env.pop("SIGNED_ADDRESSES")
            live.start_web()
            for _ in range(options.rounds):
                what = "private original, stable address, Django checks"
                rates.setdefault(what, []).append(rate(front + at["private"], options.seconds, key=key))
    medians = {what: statistics.median(values) for what, values in rates.items()}
    for what, value in medians.items():
        alone = medians["public copy, nginx alone" if what.startswith("public") else "original, nginx alone"]
        print(f"{what:50} {value:9.0f}/s  {value / alone:6.3f} of nginx alone")
    return needed


if __name__ == "__main__":
    sys.exit(main())
