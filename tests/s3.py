"""A real S3 server for the tests: moto's, on a port of its own, in this process. Its buckets survive a stop."""

import logging
from datetime import datetime
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

KEYS = {"AWS_ACCESS_KEY_ID": "test-key-id", "AWS_SECRET_ACCESS_KEY": "test-secret-key"}


class S3Server:
    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.port = 0
        self._server: ThreadedMotoServer | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @cached_property
    def client(self) -> Any:
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
            config=Config(s3={"addressing_style": "path"}),
        )

    def start(self) -> None:
        """On the port that it had before."""
        if self._server is None:
            self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=self.port, verbose=False)
            self._server.start()
            _, self.port = self._server.get_host_and_port()

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None

    def make_bucket(self, name: str) -> str:
        self.client.create_bucket(Bucket=name)
        return name

    def environment(self, bucket: str) -> dict[str, str]:
        """With which an instance keeps its pictures there."""
        return {"S3_BUCKET": bucket, "S3_ENDPOINT_URL": self.url, **KEYS}


class Bucket:
    """The bucket of the tests, looked at from outside. One for all of them: a client of ours costs 0.1 s."""

    def __init__(self, server: S3Server) -> None:
        self.server = server
        self.name = server.make_bucket("plantain-tests")
        self.client = server.client

    def empty(self) -> None:
        for name in self.names():
            self.client.delete_object(Bucket=self.name, Key=name)

    def use(self, settings: Any, *stores: str) -> None:
        """Let the settings of a test name it, as config/settings.py does from the environment."""
        settings.S3_BUCKET, settings.S3_ENDPOINT_URL = self.name, self.server.url
        options = {
            "bucket_name": self.name,
            "endpoint_url": self.server.url,
            "region_name": "us-east-1",
            "access_key": KEYS["AWS_ACCESS_KEY_ID"],
            "secret_key": KEYS["AWS_SECRET_ACCESS_KEY"],
        }
        s3 = {"BACKEND": "gallery.objects.BucketStorage", "OPTIONS": options}
        settings.STORAGES = {**settings.STORAGES, "s3": s3}
        settings.MEDIA_STORES = list(stores)

    def names(self) -> list[str]:
        return sorted(item["Key"] for item in self.client.list_objects_v2(Bucket=self.name).get("Contents", ()))

    def make_old(self, name: str) -> None:
        """As if it had been put in 1970; S3 has no way to say so, so this reaches into the server."""
        s3_backends["123456789012"]["aws"].buckets[self.name].keys[name].last_modified = datetime(1970, 1, 1)

    def read(self, name: str) -> bytes:
        return self.client.get_object(Bucket=self.name, Key=name)["Body"].read()
