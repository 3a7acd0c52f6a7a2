"""Wire protocols of upstreams and of our own doors: pure codecs, no Django, no network."""
