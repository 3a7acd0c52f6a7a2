"""How many generations are unfinished, for those whose jobs at once are limited."""

from django.db import connection

from accounts.quotas import Running, Standing
from generations.models import Generation, Status


def count_running(standing: Standing, *, besides: int = 0) -> Running:
    """The user's, and if they are limited the key's and everybody's, all but the generation with the id `besides`."""
    sources = {bound.source for bound in standing.of("concurrent")}
    key_id = standing.api_key.pk if standing.api_key and "key" in sources else None
    with connection.cursor() as cursor:
        cursor.execute(_OF_USER, [key_id, standing.user.pk, besides])
        of_user, of_key = cursor.fetchone()
        of_site = 0
        if "site" in sources:
            cursor.execute(_OF_SITE, [besides])
            (of_site,) = cursor.fetchone()
    return Running(user=of_user, key=of_key, site=of_site)


def _unfinished(columns: str, condition: str) -> str:
    """By hand: each submit asks it while it has the write lock, and the ORM needs a millisecond to write it down."""
    table = connection.ops.quote_name(Generation._meta.db_table)
    # The states stand in it as in the conditions of the indexes, or SQLite would not know that they fit.
    states = f"'{Status.QUEUED}', '{Status.RUNNING}'"
    return f"SELECT {columns} FROM {table} WHERE {condition}status IN ({states}) AND id <> %s"  # noqa: S608


_OF_USER = _unfinished("count(*), count(CASE WHEN api_key_id = %s THEN 1 END)", "user_id = %s AND ")
_OF_SITE = _unfinished("count(*)", "")
