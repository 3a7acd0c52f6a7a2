import pytest

from accounts import ledger
from generations import services
from generations.models import Generation
from generations.spec import GenerationSpec
from generations.tasks import work_on
from tests import people
from tests.generations.fakes import ScriptedProvider


@pytest.fixture
def upstream(monkeypatch):
    """The only upstream of the test; it makes a picture unless it is told otherwise."""
    provider = ScriptedProvider()
    monkeypatch.setattr("generations.pipeline.providers_for", lambda spec: (provider,))
    return provider


@pytest.fixture
def spec():
    return GenerationSpec.parse({"prompt": "a fox"}, default_image_size="1K")


@pytest.fixture
def submit(spec):
    def submit_for(user, *, wish=spec, key="", source="rest"):
        return services.submit(user=user, spec=wish, source=source, idempotency_key=key).generation

    return submit_for


@pytest.fixture
def work():
    """Run a generation as a worker would, at once, however long it was told to wait before its next attempt."""

    def work_until_done(generation, *, rounds=12):
        for _ in range(rounds):
            work_on(generation.pk)
            generation.refresh_from_db()
            if generation.is_terminal:
                break
            Generation.objects.filter(pk=generation.pk).update(next_run_at=generation.created_at)
        return generation

    return work_until_done


@pytest.fixture
def penniless(db):
    return people.make_person("penniless", credit_micros=0)


@pytest.fixture
def rich_in_pictures(db):
    """Somebody with money for exactly so many pictures."""
    return lambda count: people.make_person("rich", credit_micros=count * 58_000)


@pytest.fixture
def money():
    """What a user has, in micro-USD: (available, held, spent)."""

    def money_of(user):
        balance = ledger.balance_of(user)
        return balance.available, balance.held, balance.spent

    return money_of
