"""A second upstream for the tests: it shares no code with the emulator, says what a test scripts, keeps what it got.

    def test_a_picture_arrives(upstream):
        upstream.answers(native.error(503, "UNAVAILABLE"), native.answer(native.picture()))
        ...
        assert [request.headers["x-goog-api-key"] for request in upstream.requests] == ["first", "first"]

The fixtures are in tests.upstream.fixtures; `native`, `chat` and `images` build the answers of the three protocols,
`trouble` those of a broken server, `pictures` the bytes.
"""
