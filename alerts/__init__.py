"""From results to alerts: bands, rules, cases, explanations, exports."""

__all__: list[str] = []
