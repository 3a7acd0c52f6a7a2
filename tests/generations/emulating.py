"""The emulator as a process of its own, and a client of it: what its tests share."""

import base64
import hashlib
import io
import json
import os
import socket
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from pathlib import Path

import requests
from PIL import Image

KEY = "test-key-of-the-emulator"
FLASH = "gemini-3.1-flash-image-preview"
PRO = "gemini-3-pro-image-preview"
ONE_PICTURE = "Return only compact JSON with keys mime_type and b64 for a single image. No text, no code fences."
SEVERAL_PICTURES = "Return only compact JSON with key images: an array of objects each with mime_type and b64."
ONE_CLIP = "Return only compact JSON with mime_type and b64 for a single short video (2-3s)."
ROOT = Path(__file__).resolve().parents[2]


def wait_until(condition, what: str) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def start_process(port_file: Path, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "generations.emulator", "--port-file", str(port_file)],
        cwd=ROOT,
        env=os.environ | {"EMULATOR_KEY": KEY, "EMULATOR_LATENCY_S": "0", "EMULATOR_FAULTS": ""} | environment,
    )


@contextmanager
def running_emulator(directory: Path, **environment: str):
    port_file = directory / "port"
    process = start_process(port_file, **environment)
    try:
        wait_until(port_file.exists, "the emulator wrote no port")
        yield Client(int(port_file.read_text()), process)
    finally:
        process.kill()
        process.wait()


class Client:
    """What a program sees of the emulator."""

    def __init__(self, port: int, process: subprocess.Popen) -> None:
        self.port = port
        self.process = process
        self.session = requests.Session()
        self.session.headers["x-goog-api-key"] = KEY

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def get(self, path: str, **options) -> requests.Response:
        return self.session.get(self.url(path), **options)

    def post(self, body, *, model=FLASH, version="v1beta", **options) -> requests.Response:
        url = self.url(f"/{version}/models/{model}:generateContent")
        return self.session.post(url, json=body, timeout=20, allow_redirects=False, **options)

    def draw(self, prompt: str, *, model=FLASH, modalities=("IMAGE",), **config) -> requests.Response:
        return self.post(wish(prompt, modalities=modalities, **config), model=model)

    def stream(self, body, *, model=FLASH, query="?alt=sse") -> requests.Response:
        url = self.url(f"/v1beta/models/{model}:streamGenerateContent{query}")
        return self.session.post(url, json=body, timeout=20, allow_redirects=False)

    def chat(self, prompt, *, system=ONE_PICTURE, authorization=KEY, **fields) -> requests.Response:
        messages = [{"role": "system", "content": system}] if system else []
        body = {"model": PRO, "messages": [*messages, {"role": "user", "content": prompt}], **fields}
        return self._post_openai("/v1/chat/completions", body, authorization)

    def generate(self, prompt, *, model="gpt-image-2", authorization=KEY, **fields) -> requests.Response:
        body = {"model": model, "prompt": prompt, **fields}
        return self._post_openai("/v1/images/generations", body, authorization)

    def _post_openai(self, path: str, body: dict, authorization: str) -> requests.Response:
        headers = {"Authorization": authorization} if authorization else {}
        return requests.post(self.url(path), json=body, headers=headers, timeout=20, allow_redirects=False)

    def open_request(self, prompt: str) -> socket.socket:
        """A socket on which the request was sent and nothing was read."""
        body = json.dumps(wish(prompt)).encode()
        head = (
            f"POST /v1beta/models/{FLASH}:generateContent HTTP/1.1\r\nHost: x\r\nx-goog-api-key: {KEY}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        connection.sendall(head.encode() + body)
        return connection

    def stats(self) -> dict:
        return self.get("/__emulator__/stats").json()


def wish(prompt: str, *, modalities=("IMAGE",), ratio="1:1", size="0.5K", **config) -> dict:
    image_config = {"aspectRatio": ratio, "imageSize": size}
    config = {"responseModalities": list(modalities), "imageConfig": image_config} | config
    return {"contents": [{"role": "user", "parts": [{"text": prompt}]}], "generationConfig": config}


def unique(text: str) -> str:
    return f"{text} {uuid.uuid4()}"


def parts_of(response: requests.Response) -> list[dict]:
    assert response.status_code == 200, response.text[:500]
    return response.json()["candidates"][0]["content"]["parts"]


def image_bytes(part: dict) -> bytes:
    return base64.b64decode(part["inlineData"]["data"], validate=True)


def decoded(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def content_of(response: requests.Response):
    assert response.status_code == 200, response.text[:500]
    return response.json()["choices"][0]["message"]["content"]


def payload_of(response: requests.Response) -> bytes:
    """The bytes in a strict JSON answer of chat completions."""
    return base64.b64decode(json.loads(content_of(response))["b64"], validate=True)


def mean_colour(data: bytes) -> tuple[int, int, int]:
    return decoded(data).convert("RGB").resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))


def size_of_final_picture(response: requests.Response) -> tuple[int, int]:
    return decoded(image_bytes(parts_of(response)[-1])).size


def violation_of(response: requests.Response) -> dict:
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["status"]) == (400, 400, "INVALID_ARGUMENT")
    assert error["details"][0]["@type"] == "type.googleapis.com/google.rpc.BadRequest"
    return error["details"][0]["fieldViolations"][0]


def digest(prompt: str) -> str:
    return hashlib.sha256(prompt.encode()).hexdigest()
