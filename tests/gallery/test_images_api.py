"""Pictures over REST, for their owner and for nobody else."""

import hashlib
import uuid
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import quote

import pytest
from django.test import Client

from accounts import keys
from gallery import services, storage
from gallery.api.serializers import ImageSerializer, image_body
from gallery.models import Image, Rendition
from tests.gallery.pictures import add_image, encode_picture, keep_image, make_user, with_c2pa, write_file

pytestmark = pytest.mark.django_db

DATA = with_c2pa(encode_picture("png", size=(800, 400)))
DIGEST = hashlib.sha256(DATA).hexdigest()
LIST = "/api/v1/images"


@pytest.fixture
def alice():
    return make_user("alice@example.org")


@pytest.fixture
def bob():
    return make_user("bob@example.org")


@pytest.fixture
def image(settings, alice):
    return keep_image(alice, settings.SPOOL_DIR, DATA, caption="A yellow disc.", honours_image_size=False)


@pytest.fixture
def facts(settings):
    """Of a small picture whose bytes are on disk in the spool only."""
    return write_file(settings.SPOOL_DIR, encode_picture("png"))[1]


def client_of(user, *scopes):
    key = keys.create_key(user=user, scopes=scopes or ("read",))
    return Client(headers={"Authorization": f"Bearer {key.secret}"})


@pytest.fixture
def api(alice):
    """Alice's program, whose key may read."""
    return client_of(alice)


def path_of(image, rest=""):
    return f"{LIST}/{image.public_id}{rest}"


def ids(answer):
    assert answer.status_code == HTTPStatus.OK, answer.content
    return [result["id"] for result in answer.json()["results"]]


def fields(answer):
    """The fields that a 400 names."""
    assert (answer.status_code, answer["Content-Type"]) == (HTTPStatus.BAD_REQUEST, "application/problem+json")
    body = answer.json()
    assert body["code"] == "invalid"
    return {error["field"]: error["message"] for error in body["errors"]}


# --- One image -----------------------------------------------------------------------------------


def test_an_image_is_what_the_contract_says(api, image):
    answer = api.get(path_of(image))
    url = f"http://testserver{path_of(image)}/file"
    assert answer.json() == {
        "id": str(image.public_id),
        "generation": "4b1d2c3e-0000-4000-8000-000000000001",
        "url": url,
        "thumbnails": {
            "320": f"{url}?variant=320",
            "640": f"{url}?variant=640",
            "1280": f"{url}?variant=1280",
        },
        "width": 800,
        "height": 400,
        "byte_size": len(DATA),
        "mime_type": "image/png",
        "duration_ms": None,
        "sha256": DIGEST,
        "dominant_colour": image.blob.dominant_colour,
        "thumbhash": None,
        "kind": "image",
        "title": "",
        "alt_text": "A yellow disc.",
        "prompt": "A solid blue circle on white background.",
        "model": "gemini-3.1-flash-image-preview",
        "honoured": {"aspect_ratio": True, "image_size": False},
        "visibility": "private",
        "review_status": "none",
        "favourite": False,
        "discloses_prompt": False,
        "collections": [],
        "provenance": {"ai_generated": True, "c2pa": True},
        "created_at": image.created_at.isoformat().replace("+00:00", "Z"),
        "trashed_at": None,
        "version": 1,
    }


def test_the_schema_describes_exactly_the_fields_of_the_answer(image):
    body = image_body(image)
    described = ImageSerializer().fields
    assert list(described) == list(body)
    for name in ("thumbnails", "honoured", "provenance"):
        assert list(described[name].fields) == list(body[name])


def test_without_a_request_addresses_begin_with_the_sites_own(settings, image):
    settings.SITE_URL = "https://studio.example.org"
    assert image_body(image)["url"] == f"https://studio.example.org{path_of(image)}/file"


def test_the_addresses_in_an_image_answer(api, image):
    body = api.get(path_of(image)).json()
    assert api.get(body["url"]).status_code == HTTPStatus.OK
    assert api.get(body["thumbnails"]["320"])["Content-Type"] == "image/webp"


@pytest.mark.parametrize("rest", ["", "/file"])
def test_a_trailing_slash_makes_no_difference(api, image, rest):
    plain, slashed = api.get(path_of(image, rest)), api.get(path_of(image, f"{rest}/"))
    assert plain.status_code == slashed.status_code == HTTPStatus.OK
    assert plain.getvalue() == slashed.getvalue()


# --- Who may -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rest", ["", "/file", "/file?variant=320"])
def test_another_users_image_is_not_found_for_people_and_staff_alike(image, bob, rest):
    staff = make_user("staff@example.org")
    staff.is_staff = True
    staff.save()
    for stranger in (bob, staff):
        answer = client_of(stranger).get(path_of(image, rest))
        assert (answer.status_code, answer.json()["code"]) == (HTTPStatus.NOT_FOUND, "not_found")
        assert str(image.public_id) not in answer.content.decode()
    assert Rendition.objects.count() == 0


def test_an_image_that_never_was_answers_as_another_users(api, image, bob):
    never = api.get(f"{LIST}/{uuid.uuid4()}").json()
    foreign = client_of(bob).get(path_of(image)).json()
    assert {**never, "request_id": ""} == {**foreign, "request_id": ""}


@pytest.mark.parametrize("rest", ["", "/file"])
def test_what_is_no_id_is_not_found(api, rest):
    assert api.get(f"{LIST}/17{rest}").status_code == HTTPStatus.NOT_FOUND


@pytest.mark.parametrize("rest", ["", "/{id}", "/{id}/file"])
def test_without_a_key_the_answer_is_401(client, image, rest):
    answer = client.get(LIST + rest.format(id=image.public_id))
    assert (answer.status_code, answer.json()["code"]) == (HTTPStatus.UNAUTHORIZED, "not_authenticated")


@pytest.mark.parametrize("rest", ["", "/{id}", "/{id}/file"])
def test_a_key_that_may_not_read_gets_403(alice, image, rest):
    answer = client_of(alice, "generate").get(LIST + rest.format(id=image.public_id))
    assert (answer.status_code, answer.json()["code"]) == (HTTPStatus.FORBIDDEN, "forbidden")


def test_the_owners_browser_sees_the_picture(client, alice, image):
    client.force_login(alice)
    assert client.get(path_of(image, "/file")).getvalue() == DATA


@pytest.mark.parametrize(
    ("verb", "rest"), [("put", ""), ("delete", ""), ("post", "/{id}"), ("put", "/{id}"), ("delete", "/{id}/file")]
)
def test_there_is_no_other_way_to_write(api, image, verb, rest):
    answer = getattr(api, verb)(LIST + rest.format(id=image.public_id))
    assert answer.status_code == HTTPStatus.METHOD_NOT_ALLOWED


# --- Words and the trash -------------------------------------------------------------------------


@pytest.fixture
def program(alice):
    """Alice's program, whose key may read and make pictures."""
    return client_of(alice, "read", "generate")


def change(program, image, **changes):
    return program.patch(path_of(image), changes, content_type="application/json")


def test_title_and_alternative_text_can_be_changed(program, image):
    answer = change(program, image, title="  A disc\n at noon ", alt_text="A yellow disc\non blue.")
    assert answer.status_code == HTTPStatus.OK
    body = answer.json()
    assert (body["title"], body["alt_text"], body["version"]) == ("A disc at noon", "A yellow disc\non blue.", 2)
    assert program.get(path_of(image)).json() == body


def test_a_field_that_is_left_out_stays_and_an_empty_one_is_taken_away(program, image):
    change(program, image, title="A disc")
    body = change(program, image, alt_text="").json()
    assert (body["title"], body["alt_text"], body["version"]) == ("A disc", "", 3)


def test_a_change_to_what_it_is_already_makes_no_new_version(program, image):
    assert change(program, image, alt_text="A yellow disc.").json()["version"] == 1
    assert change(program, image).json()["version"] == 1


@pytest.mark.parametrize("field", ["kind", "model", "prompt", "visibility"])
def test_a_field_that_cannot_be_changed_is_named_and_nothing_is(program, image, field):
    named = fields(change(program, image, title="New", **{field: []}))
    assert named == {field: "Unknown field; there are title, alt_text, favourite, collections."}
    image.refresh_from_db()
    assert (image.title, image.version) == ("", 1)


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"title": "x" * 201}, "title"), ({"alt_text": "x" * 2001}, "alt_text"), ({"title": None}, "title")],
)
def test_words_that_are_too_long_or_none_are_refused(program, image, changes, field):
    assert list(fields(change(program, image, **changes))) == [field]
    image.refresh_from_db()
    assert (image.title, image.alt_text, image.version) == ("", "A yellow disc.", 1)


def test_a_deleted_image_is_in_the_trash_and_in_no_list(program, image):
    answer = program.delete(path_of(image))
    assert (answer.status_code, answer.content) == (HTTPStatus.NO_CONTENT, b"")
    assert ids(program.get(LIST)) == []
    body = program.get(path_of(image)).json()
    image.refresh_from_db()
    assert body["trashed_at"] == image.trashed_at.isoformat().replace("+00:00", "Z")
    assert body["version"] == 2
    assert program.get(path_of(image, "/file")).getvalue() == DATA


def test_restoring_brings_it_back_to_the_list(program, image):
    program.delete(path_of(image))
    answer = program.post(path_of(image, "/restore"))
    assert answer.status_code == HTTPStatus.OK
    assert (answer.json()["trashed_at"], answer.json()["version"]) == (None, 3)
    assert ids(program.get(LIST)) == [str(image.public_id)]


def test_deleting_and_restoring_twice_change_nothing_more(program, image):
    assert [program.delete(path_of(image)).status_code for _ in range(2)] == [HTTPStatus.NO_CONTENT] * 2
    image.refresh_from_db()
    assert image.version == 2
    assert [program.post(path_of(image, "/restore/")).json()["version"] for _ in range(2)] == [3, 3]


WRITES = [("patch", ""), ("delete", ""), ("post", "/restore")]


@pytest.mark.parametrize(("verb", "rest"), WRITES)
def test_another_users_image_cannot_be_changed(image, bob, verb, rest):
    stranger = client_of(bob, "read", "generate")
    answer = getattr(stranger, verb)(path_of(image, rest), {"title": "Mine"}, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (HTTPStatus.NOT_FOUND, "not_found")
    image.refresh_from_db()
    assert (image.title, image.trashed_at, image.version) == ("", None, 1)


@pytest.mark.parametrize(("verb", "rest"), WRITES)
def test_a_key_that_may_only_read_changes_nothing(api, image, verb, rest):
    answer = getattr(api, verb)(path_of(image, rest), {"title": "Mine"}, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (HTTPStatus.FORBIDDEN, "forbidden")
    image.refresh_from_db()
    assert (image.title, image.trashed_at, image.version) == ("", None, 1)


@pytest.mark.parametrize(("verb", "rest"), WRITES)
def test_without_a_key_nothing_changes(client, image, verb, rest):
    assert getattr(client, verb)(path_of(image, rest)).status_code == HTTPStatus.UNAUTHORIZED
    image.refresh_from_db()
    assert (image.trashed_at, image.version) == (None, 1)


# --- The list ------------------------------------------------------------------------------------


def test_the_list_holds_my_images_alone_and_the_newest_first(api, alice, bob, facts):
    mine = [str(add_image(alice, facts).public_id) for _ in range(3)]
    add_image(bob, facts)
    assert ids(api.get(LIST)) == mine[::-1]


def test_pages_follow_each_other_without_gaps(api, alice, facts):
    mine = [str(add_image(alice, facts).public_id) for _ in range(5)]
    seen, address = [], f"{LIST}?limit=2"
    while address:
        page = api.get(address)
        seen += ids(page)
        address = page.json()["next"]
    assert seen == mine[::-1]


def test_a_page_has_the_images_as_they_are_alone(api, image):
    assert api.get(LIST).json()["results"] == [api.get(path_of(image)).json()]


def test_filters_narrow_the_list(api, alice, facts):
    fox = add_image(alice, facts, prompt="A Red FOX in snow", model="gemini-3-pro-image-preview")
    services.edit_image(owner=alice, public_id=fox.public_id, title="Reynard")
    cat = add_image(alice, facts, prompt="A cat, 100% asleep")
    moments = (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
    for image, moment in zip((fox, cat), moments, strict=True):
        Image.objects.filter(pk=image.pk).update(created_at=moment)
    fox_id, cat_id = str(fox.public_id), str(cat.public_id)
    assert ids(api.get(LIST, {"model": "gemini-3-pro-image-preview"})) == [fox_id]
    assert ids(api.get(LIST, {"q": "red fox"})) == [fox_id]
    assert ids(api.get(LIST, {"q": "reynard"})) == [fox_id]
    assert ids(api.get(LIST, {"q": "100%"})) == [cat_id]
    assert ids(api.get(LIST, {"kind": "image"})) == [cat_id, fox_id]
    assert ids(api.get(LIST, {"kind": "video"})) == []
    assert ids(api.get(LIST, {"created_after": "2026-01-01T00:00:00Z"})) == [cat_id]
    assert ids(api.get(LIST, {"created_before": "2026-02-01T00:00:00Z"})) == [fox_id]
    assert ids(api.get(LIST, {"created_after": "2026-01-31T23:00:00-02:00"})) == []
    assert ids(api.get(LIST, {"q": "fox", "kind": "image", "created_before": "2026-01-15T00:00:00Z"})) == [fox_id]


def test_a_zone_whose_plus_was_not_encoded_is_understood(api, image):
    assert ids(api.get(f"{LIST}?created_after=2026-01-01T00:00:00+01:00")) == [str(image.public_id)]


@pytest.mark.parametrize(
    ("query", "field", "said"),
    [
        ("colour=red", "colour", "There is no such parameter here; there are model, kind, aspect_ratio, visibility"),
        ("kind=sound", "kind", '"sound" is not possible here: it may be image, video or upload.'),
        ("created_after=yesterday", "created_after", "Datetime has wrong format"),
        ("created_after=2026-01-01T00:00:00", "created_after", "This needs a zone"),
        ("q=" + "x" * 201, "q", "no more than 200 characters"),
        ("q=a%00b", "q", "Null characters are not allowed."),
        ("kind=image&kind=video", "kind", "This was sent more than once."),
        ("limit=0", "limit", "1 to 100"),
        ("cursor=made-up", "cursor", "not a cursor of this list"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_named(api, query, field, said):
    named = fields(api.get(f"{LIST}?{query}"))
    assert list(named) == [field]
    assert said in named[field]


def test_every_wrong_parameter_is_named_at_once(api):
    assert set(fields(api.get(f"{LIST}?colour=red&kind=sound&shape=round"))) == {"colour", "kind", "shape"}


def test_a_page_costs_the_same_queries_however_long_it_is(api, alice, facts, django_assert_num_queries):
    add_image(alice, facts)
    api.get(LIST)  # notes that the key was used
    with django_assert_num_queries(3):
        assert len(ids(api.get(LIST))) == 1
    for _ in range(9):
        add_image(alice, facts)
    with django_assert_num_queries(3):
        assert len(ids(api.get(LIST))) == 10


# --- The bytes -----------------------------------------------------------------------------------


def test_the_original_comes_byte_for_byte(api, image):
    answer = api.get(path_of(image, "/file"))
    assert answer.getvalue() == DATA
    assert answer["ETag"] == f'"{DIGEST}"'
    assert answer["Content-Type"] == "image/png"
    assert answer["Content-Length"] == str(len(DATA))
    assert answer["Cache-Control"] == "private, max-age=300"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert answer["Cross-Origin-Resource-Policy"] == "same-origin"
    assert {"Authorization", "Cookie", "x-goog-api-key"} <= set(answer["Vary"].split(", "))


@pytest.mark.parametrize(
    ("query", "mime_type", "size"),
    [
        ("variant=original", "image/png", (800, 400)),
        ("variant=320", "image/webp", (320, 160)),
        ("variant=640", "image/webp", (640, 320)),
        ("variant=1280", "image/webp", (800, 400)),
        ("format=jpeg", "image/jpeg", (800, 400)),
        ("variant=320&format=png", "image/png", (320, 160)),
    ],
)
def test_each_variant_and_format_is_made_on_request(api, image, query, mime_type, size):
    answer = api.get(path_of(image, f"/file?{query}"))
    assert answer["Content-Type"] == mime_type
    data = answer.getvalue()
    assert answer["ETag"] == f'"{hashlib.sha256(data).hexdigest()}"'
    row = Rendition.objects.filter(sha256=hashlib.sha256(data).hexdigest()).first() or image.blob
    assert (row.width, row.height) == size


def test_a_download_has_a_name_of_ours(api, image):
    answer = api.get(path_of(image, "/file?variant=640&download=1"))
    assert answer["Content-Disposition"] == f'attachment; filename="plantain-{image.public_id.hex[:8]}-640.webp"'


def test_a_client_that_accepts_pictures_only_gets_one(api, image):
    answer = api.get(path_of(image, "/file"), headers={"Accept": "image/png"})
    assert (answer.status_code, answer["Content-Type"]) == (HTTPStatus.OK, "image/png")


def test_a_part_can_be_asked_for(api, image):
    answer = api.get(path_of(image, "/file"), headers={"Range": "bytes=8-15"})
    assert (answer.status_code, answer.getvalue()) == (HTTPStatus.PARTIAL_CONTENT, DATA[8:16])


def test_what_the_client_has_is_not_sent_again(api, image):
    answer = api.get(path_of(image, "/file"), headers={"If-None-Match": f'"{DIGEST}"'})
    assert (answer.status_code, answer.getvalue()) == (HTTPStatus.NOT_MODIFIED, b"")


def test_head_answers_without_bytes(api, image):
    answer = api.head(path_of(image, "/file"))
    assert (answer.status_code, answer.getvalue()) == (HTTPStatus.OK, b"")
    assert answer["Content-Length"] == str(len(DATA))


@pytest.mark.parametrize(
    ("query", "field", "said"),
    [
        ("variant=2000", "variant", '"2000" is not possible here: it may be original, 320, 640 or 1280.'),
        ("format=gif", "format", '"gif" is not possible here: it may be png, jpeg or webp.'),
        ("download=yes", "download", '"yes" is not possible here: it may be 0 or 1.'),
        ("variant=", "variant", "it may be original, 320, 640 or 1280."),
        ("width=100", "width", "There is no such parameter here; there are variant, format, download."),
        ("variant=320&variant=640", "variant", "This was sent more than once."),
        (f"variant={quote('../../etc')}", "variant", "is not possible here"),
    ],
)
def test_a_wish_that_cannot_be_is_named_and_nothing_is_made(api, image, query, field, said):
    named = fields(api.get(path_of(image, f"/file?{query}")))
    assert list(named) == [field]
    assert said in named[field]
    assert Rendition.objects.count() == 0


def test_bytes_that_are_lost_answer_503_and_say_so(api, image):
    storage.delete(image.blob.storage_name)
    for query in ("", "?variant=320"):
        answer = api.get(path_of(image, f"/file{query}"))
        assert (answer.status_code, answer.json()["code"]) == (HTTPStatus.SERVICE_UNAVAILABLE, "picture_unavailable")


def test_the_web_server_is_told_where_the_bytes_are(settings, api, image):
    settings.MEDIA_ACCEL_REDIRECT = "/internal/media/"
    answer = api.get(path_of(image, "/file"))
    assert (answer.status_code, answer.getvalue()) == (HTTPStatus.OK, b"")
    assert answer["X-Accel-Redirect"] == f"/internal/media/{image.blob.storage_name}"


def test_drafts_and_uploads_are_in_no_list_until_uploads_are_asked_for(api, alice, facts):
    kept = {kind: add_image(alice, facts, kind=kind) for kind in ("image", "draft", "upload")}

    def listed(query=""):
        return [image["id"] for image in api.get(f"{LIST}{query}").json()["results"]]

    assert listed() == [str(kept["image"].public_id)]
    assert listed("?kind=upload") == [str(kept["upload"].public_id)]
    assert api.get(f"{LIST}?kind=draft").status_code == 400
    assert api.get(path_of(kept["draft"])).json()["provenance"]["ai_generated"] is True
    assert api.get(path_of(kept["upload"])).json()["provenance"]["ai_generated"] is False
