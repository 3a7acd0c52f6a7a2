"""The review of pictures that others are to see: states, claims, decisions, appeals, reports (docs/moderation.md)."""
