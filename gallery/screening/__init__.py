"""The prompt filter: rules as rows, and what they find in a text before money is held (docs/moderation.md)."""
