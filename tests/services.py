"""Before `run.py test --services`: do PostgreSQL and Redis answer? Makes the database if it is missing. S3 is ours."""

import os
import sys
from urllib.parse import urlsplit

import psycopg
import redis
from psycopg import sql

TIMEOUT_S = 5


def prepare_postgresql(url: str) -> None:
    address = urlsplit(url)
    name = address.path.lstrip("/")
    server = address._replace(path="/postgres").geturl()
    with psycopg.connect(server, autocommit=True, connect_timeout=TIMEOUT_S) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def main() -> None:
    try:
        prepare_postgresql(os.environ["DATABASE_URL"])
    except psycopg.Error as error:
        sys.exit(f"PostgreSQL does not answer; start it, or set DATABASE_URL to one that does: {error}")
    try:
        redis.Redis.from_url(os.environ["REDIS_URL"], socket_connect_timeout=TIMEOUT_S).ping()
    except redis.RedisError as error:
        sys.exit(f"Redis does not answer; start it, or set REDIS_URL to one that does: {error}")


if __name__ == "__main__":
    main()
