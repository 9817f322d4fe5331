"""Who a rule is for: constraints on fields of the context, and segments of them by name."""
