"""Who sees what: every kind of person, every state of a picture, every address that gives its bytes or its data.

The addresses are those of the URL map and of the OpenAPI document: one without a row here fails.
"""

import json
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from types import SimpleNamespace

import pytest
from django.conf import settings as django_settings
from django.test import Client
from django.urls import URLPattern, get_resolver, reverse
from django.utils import timezone

from accounts.models import Plan, User
from gallery import sharing
from gallery.addresses import public_copies
from gallery.models import Collection, Image, new_publication_key
from gallery.renditions import Wish, get_rendition
from generations.spec import GenerationSpec
from tests import people
from tests.generations.fakes import picture, png, reply

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

Status = Image.ReviewStatus
PROMPT = "A prompt that only its owner reads"
# No pictures below these.
ACCOUNTS_AND_TOOLS = ("admin/", "accounts/", "docs/", "account/", "api/v1/^api-keys", "status/")


@dataclass(frozen=True)
class State:
    status: str
    visibility: str
    is_trashed: bool = False

    @property
    def is_public(self) -> bool:
        return self.status == "approved" and self.visibility != "private" and not self.is_trashed


STATES = [
    *(State(status, visibility) for status, visibility in product(Status.values, ("private", "public"))),
    State("approved", "unlisted"),
    *(State(status, "public", is_trashed=True) for status in ("none", "approved")),
]

# Enough for what does not ask for the state at all.
FEW = [
    State("none", "private"),
    State("pending", "public"),
    State("approved", "public"),
    State("quarantined", "public"),
]

# Who gets an answer: by the caller and the state.
Rule = Callable[[str, State], bool]
REVIEWERS = ("reviewer", "admin")


def owners(who: str, state: State) -> bool:
    return who == "owner"


def bytes_of(who: str, state: State) -> bool:
    if who in REVIEWERS:
        return state.status != "none"
    return who == "owner" and state.status != "quarantined"


def everybody(who: str, state: State) -> bool:
    return state.is_public


def nobody(who: str, state: State) -> bool:
    return False


READS: dict[str, Rule] = {
    # Its data
    "image": owners,
    "image-receipt": owners,
    "share-links": owners,
    "generations:image": owners,
    "gallery:edit_image": owners,
    "gallery:publish_image": owners,
    "collection": owners,
    "gallery:collection": owners,
    "gallery:public_image": everybody,
    "gallery:shared": everybody,
    # Its bytes
    "image-file": bytes_of,
    "gallery:public_copy": everybody,
    "gallery:public_file": everybody,
    "gallery:shared_file": everybody,
    "gallery:signed": nobody,  # without a signature; with one: test_signed_addresses
    "review-similar": lambda who, state: who in REVIEWERS and state.status != "none",
    "admin:gallery_image_thumbnail": lambda who, state: who in REVIEWERS,
    # The job that made it
    "generation": owners,
    "generation-events": owners,
    "generation-draft": nobody,  # there is none; with one: test_interim
    "generations:detail": owners,
    "generations:card": owners,
    "generations:search": nobody,  # it did not search
}
# Verbs: whoever may not use one learns nothing from it. What the others can do with them is told by their own tests.
WRITES: dict[str, tuple[str, ...]] = {
    "image": ("patch", "delete"),
    "image-restore": ("post",),
    "image-purge": ("post",),
    "image-publish": ("post",),
    "image-withdraw": ("post",),
    "image-appeal": ("post",),
    "share-links": ("post",),
    "share-link": ("delete",),
    "generation-cancel": ("post",),
    "generation-retry": ("post",),
    "generations:cancel": ("post",),
    "generations:retry": ("post",),
    "gallery:trash_image": ("post",),
    "gallery:restore_image": ("post",),
    "gallery:purge_image": ("post",),
    "gallery:edit_image": ("post",),
    "gallery:publish_image": ("post",),
    "gallery:withdraw_image": ("post",),
    "gallery:appeal_image": ("post",),
    "gallery:share_image": ("post",),
    "gallery:revoke_link": ("post",),
    "collection": ("patch", "delete"),
    "gallery:rename_collection": ("post",),
    "gallery:delete_collection": ("post",),
}
REPORTS = ("image-report", "gallery:report_image")  # anybody's, against what is public
BODIES = {
    "publish": {"visibility": "public"},
    "appeal": {"text": "It is mine."},
    "report": {"reason": "spam"},
    "collection": {"name": "Theirs"},
    "rename": {"name": "Theirs"},
    "approve": {"version": 0},
    "reject": {"version": 0, "reason": "spam"},
    "escalate": {"version": 0},
    "undo": {"version": 0},
}
DESK = {  # the reviewers' own, whatever the state
    "review-claim": "post",
    "review-approve": "post",
    "review-reject": "post",
    "review-escalate": "post",
    "review-undo": "post",
    "gallery:review_item": "get",
    "gallery:review_decide": "post",
    "gallery:review_undo": "post",
    "gallery:review_claim": "post",
    "gallery:review_skip": "post",
    "gallery:review_reveal": "post",
}


@dataclass(frozen=True)
class Address:
    name: str
    pattern: str
    is_api: bool


def addresses() -> Iterator[Address]:
    """Every address of the site that is given by a name or by a place in it."""

    def walk(patterns, prefix="", space="") -> Iterator[tuple[str, str, bool]]:
        for pattern in patterns:
            path = prefix + str(pattern.pattern)
            if isinstance(pattern, URLPattern):
                yield f"{space}{pattern.name}", path
            else:
                yield from walk(pattern.url_patterns, path, f"{pattern.namespace}:" if pattern.namespace else space)

    for name, path in walk(get_resolver().url_patterns):
        yield Address(name, path, is_api=path.startswith("api/"))


def named_things() -> list[Address]:
    return [
        address
        for address in addresses()
        if ("<" in address.pattern and not address.pattern.startswith(ACCOUNTS_AND_TOOLS))
        or address.name == "admin:gallery_image_thumbnail"
    ]


def test_every_address_of_a_picture_has_a_row():
    rows = {*READS, *WRITES, *REPORTS, *DESK}
    found = {address.name for address in named_things()}
    assert found - rows == set(), "these are new: say here who may see what they give"
    assert rows - found == set(), "these are gone"


def test_every_operation_of_the_api_on_a_picture_has_a_row():
    document = json.loads((django_settings.BASE_DIR / "docs/openapi.json").read_text())
    by_path = {
        re.sub(r"\(\?P<(\w+)>.*?\)(?=/|$)", r"{\1}", address.pattern.replace("^", "").replace("/?$", "")): address.name
        for address in addresses()
        if address.is_api
    }
    for path, operations in document["paths"].items():
        name = by_path[path.lstrip("/")]
        if "{" not in path or name == "api-key":
            continue
        for method in operations:
            has_row = (
                (method == "get" and name in READS)
                or method in WRITES.get(name, ())
                or (method == "post" and name in REPORTS)
                or DESK.get(name) == method
            )
            assert has_row, (method, path)


@pytest.fixture
def world(alice, bob, upstream, submit, work):
    """A picture of Alice's that was made by a job, and everybody who might ask for it."""
    upstream.says(reply(picture(png(size=(1024, 1024)))))
    wish = GenerationSpec.parse({"prompt": PROMPT}, default_image_size="1K")
    generation = work(submit(alice, wish=wish))
    image = Image.objects.with_blob().get(output__generation=generation)
    for variant in ("320", "640", "1280", "original"):
        get_rendition(image.blob, Wish(variant, "webp"))
    # The key stays in every state, so that it is the state and not the missing key that closes an address.
    Image.objects.filter(pk=image.pk).update(
        alt_text="A picture.",
        review_status="approved",
        visibility="public",
        publication_key=new_publication_key(),
        published_order=1,
    )
    image.refresh_from_db()
    link = sharing.create_link(owner=alice, public_id=image.public_id, expires_at=None)
    collection = Collection.objects.create(owner=alice, name="Of mine")
    collection.images.add(image)
    users = {
        "other": bob,
        "owner": alice,
        "reviewer": people.make_person("rita", is_staff=True),
        "admin": people.make_person("ada", is_staff=True),
    }
    User.objects.filter(pk=users["admin"].pk).update(is_superuser=True)
    User.objects.update(plan=Plan.objects.get(name="unlimited"))  # nobody is refused for asking too often
    clients = {"anonymous": Client(), **{who: Client() for who in users}}
    for who, user in users.items():
        clients[who].force_login(user)
    keys = {scope: people.client_with(people.make_key(alice, scope)) for scope in ("read", "generate")}
    token = sharing.token_of(link)
    values = {
        "image_id": image.public_id,
        "link_id": link.public_id,
        "collection_id": collection.public_id,
        "publication_key": image.publication_key,
        "file_name": public_copies([image])[image.pk]["320"].rpartition("/")[2],
        "token": token,
        "number": 1,
        "draft_id": image.public_id,
        "pk": image.pk,
    }

    def path_to(address: Address) -> str:
        of_job = address.name.startswith("generation")
        is_image = address.name == "generations:image" or not of_job
        names = re.findall(r"<(?:\w+:)?(\w+)>", address.pattern)
        thing = collection if "collection" in address.name else image if is_image else generation
        given = values | {"public_id": thing.public_id}
        given["name"] = {"gallery:public_copy": "320", "gallery:shared_file": "320.webp"}.get(
            address.name, image.blob.storage_name
        )
        return reverse(address.name, kwargs={name: str(given[name]) for name in names})

    def enter(state: State) -> None:
        Image.objects.filter(pk=image.pk).update(
            review_status=state.status,
            visibility=state.visibility,
            trashed_at=timezone.now() if state.is_trashed else None,
        )

    logging.disable(logging.CRITICAL)  # a line for each of a thousand requests takes as long as the requests
    yield SimpleNamespace(image=image, clients=clients, keys=keys, path_to=path_to, enter=enter, token=token)
    logging.disable(logging.NOTSET)


def call(client: Client, method: str, address: Address, path: str):
    """With a body that makes sense, so that it is not the body that is refused."""
    if method == "get":
        return client.get(path)
    body = BODIES.get(address.name) or BODIES.get(path.rstrip("/").rpartition("/")[2], {})
    if address.is_api:
        return getattr(client, method)(path, json.dumps(body), content_type="application/json")
    return getattr(client, method)(path, body)


def outcome(response) -> str:
    """What the answer says: seen, or refused as an address that is not there, a sign-in or a missing scope."""
    response.close()
    match response.status_code:
        case 302 | 303 if "/login/" in response.headers["Location"]:
            return "refused"
        case 401 | 403 | 404:
            return "refused"
        case 200 | 302:
            return "seen"
    return f"status {response.status_code}"


def test_what_is_read_is_read_by_whom_the_state_allows(world):
    wrong = []
    rows = [(address, READS[address.name]) for address in named_things() if address.name in READS]
    for state in STATES:
        world.enter(state)
        for address, rule in rows:
            if rule in (owners, nobody) and state not in FEW:
                continue
            path = world.path_to(address)
            for who, client in world.clients.items():
                expected = "seen" if rule(who, state) else "refused"
                if (told := outcome(client.get(path))) != expected:
                    wrong.append((address.name, who, state, told))
            if address.is_api and (told := outcome(world.keys["generate"].get(path))) != "refused":
                wrong.append((address.name, "key without scope", state, told))
    assert wrong == []


def test_verbs_are_refused_to_all_but_their_own(world):
    wrong = []
    for state in FEW:
        world.enter(state)
        for address in named_things():
            path = world.path_to(address)
            calls = [(method, ("anonymous", "other", *REVIEWERS)) for method in WRITES.get(address.name, ())]
            if address.name in DESK:
                calls = [(DESK[address.name], ("anonymous", "other", "owner"))]
            if address.name in REPORTS and not state.is_public:
                calls = [("post", tuple(world.clients))]
            for method, callers in calls:
                for who in callers:
                    if (told := outcome(call(world.clients[who], method, address, path))) != "refused":
                        wrong.append((address.name, method, who, state, told))
                is_scoped = address.is_api and address.name not in REPORTS
                if is_scoped and (told := outcome(call(world.keys["read"], method, address, path))) != "refused":
                    wrong.append((address.name, method, "key without scope", state, told))
    assert wrong == []
    world.image.refresh_from_db()
    assert (world.image.title, world.image.alt_text) == ("", "A picture.")


def paths_without_names() -> set[str]:
    return {
        "/" + address.pattern.replace("^", "").replace("/?$", "").replace("$", "")
        for address in addresses()
        if not re.search(r"[<(*\[]", address.pattern) and not address.pattern.startswith(("admin/", "accounts/"))
    }


def test_a_placeholder_is_shown_only_where_the_picture_would_be(world):
    """A blur is a picture too: nobody reads it who may not have the bytes, and the desk never sends it."""
    thumbhash = world.image.thumbhash
    assert len(thumbhash) == 32
    paths = {world.path_to(address) for address in named_things() if address.name in READS}
    paths |= {world.path_to(address) for address in named_things() if DESK.get(address.name) == "get"}
    lists = {path for path in paths_without_names() if not path.startswith(("/docs", "/account", "/status"))}
    readers = {}
    for state in (*FEW, State("rejected", "public"), State("approved", "public", is_trashed=True)):
        world.enter(state)
        for who, client in world.clients.items():
            for path in sorted(paths | (lists if who in ("owner", "reviewer") else set())):
                response = client.get(path)
                text = "" if response.streaming else response.content.decode(errors="replace")
                response.close()
                if thumbhash in text:
                    readers.setdefault((who, state), set()).add(path)
    assert {reader for reader in readers if not (bytes_of(*reader) or everybody(*reader))} == set()
    assert not any(path.startswith(("/review", "/api/v1/review")) for seen in readers.values() for path in seen)
    own = {reverse("gallery:library"), reverse("generations:history"), "/api/v1/images"}
    assert readers["owner", State("none", "private")] >= own
    assert readers["anonymous", State("approved", "public")] >= {f"/gallery/{world.image.public_id}/"}


def test_no_list_names_a_picture_to_those_who_may_not_see_it(world):
    """Every address without a name in it, for somebody else and for nobody: no picture, no prompt, no placeholder."""
    image = world.image
    secrets = [str(image.public_id), image.blob.sha256, image.publication_key, PROMPT, world.token, image.thumbhash]
    lists = {"/gallery/", "/api/v1/gallery", "/"}  # of what is public, without prompts
    paths = paths_without_names()
    assert lists <= paths
    for state in (State("approved", "public"), State("approved", "unlisted"), State("pending", "public")):
        world.enter(state)
        for who in ("anonymous", "other"):
            for path in sorted(paths):
                response = world.clients[who].get(path)
                if response.streaming:
                    response.close()
                    continue
                text = response.content.decode(errors="replace")
                named = [secret for secret in secrets if secret in text]
                may = [str(image.public_id), image.publication_key, image.thumbhash]
                is_front = path != "/" or who == "anonymous"
                expected = may if path in lists and is_front and state == State("approved", "public") else []
                assert named == expected, (path, who, state)
