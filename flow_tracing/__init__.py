"""Time-sliced taint tracing on the secure engine, beside its plaintext reference."""

__all__: list[str] = []
